//go:build !linux

package compose

import "syscall"

func dieWithUs(*syscall.SysProcAttr) {}

//go:build linux && (amd64 || arm64)

package builtin

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
)

// initPath is where a sandbox's first process is, in the sandbox.
const initPath = "/oddish/init"

// A sandbox's first process must sleep, must not end by a signal that was meant for
// others (gVisor does not protect it as Linux does: `pkill sleep` would end a
// sandbox that lives by `sleep infinity`), and must reap the orphans that become its children, which the
// kernel does for a process that ignores the end of its children. No program that every image
// has does all three, so this one is ours: it ignores every signal and pauses for ever.
//
// An idle sandbox takes up about 3 % of a processor whatever this process is: gVisor's
// systrap platform looks 2500 times a second whether it should spin for system calls. They are up
// to ten times slower without, so that is left as it is.

// initCode returns the machine code and ELF's number of the architecture.
//
//	for sig := 64; sig > 0; sig-- { rt_sigaction(sig, {SIG_IGN}, nil, 8) }
//	for { pause() }
func initCode(arch string) (code []byte, machine uint16, err error) {
	switch arch {
	case "amd64":
		return []byte{
			0xbb, 0x40, 0x00, 0x00, 0x00, //             mov  ebx, 64
			0x89, 0xdf, //                            1: mov  edi, ebx
			0x48, 0x8d, 0x35, 0x22, 0x00, 0x00, 0x00, // lea  rsi, act[rip]
			0x31, 0xd2, //                               xor  edx, edx
			0x41, 0xba, 0x08, 0x00, 0x00, 0x00, //       mov  r10d, 8
			0xb8, 0x0d, 0x00, 0x00, 0x00, //             mov  eax, 13 (rt_sigaction)
			0x0f, 0x05, //                               syscall
			0xff, 0xcb, //                               dec  ebx
			0x75, 0xe4, //                               jnz  1b
			0xb8, 0x22, 0x00, 0x00, 0x00, //          2: mov  eax, 34 (pause)
			0x0f, 0x05, //                               syscall
			0xeb, 0xf7, //                               jmp  2b
			0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00, //       alignment
		}, 62, nil
	case "arm64":
		return words(
			0x52800813, //    mov  w19, #64
			0x2a1303e0, // 1: mov  w0, w19
			0x100001c1, //    adr  x1, act
			0xd2800002, //    mov  x2, #0
			0xd2800103, //    mov  x3, #8
			0xd28010c8, //    mov  x8, #134 (rt_sigaction)
			0xd4000001, //    svc  #0
			0x71000673, //    subs w19, w19, #1
			0x54ffff21, //    b.ne 1b
			0xd2800000, // 2: mov  x0, #0
			0xd2800001, //    mov  x1, #0
			0xd2800002, //    mov  x2, #0
			0xd2800003, //    mov  x3, #0
			0xd2800928, //    mov  x8, #73 (ppoll)
			0xd4000001, //    svc  #0
			0x17fffffa, //    b    2b
		), 183, nil
	}
	return nil, 0, fmt.Errorf("no first process for %s", arch)
}

func words(w ...uint32) []byte {
	var b []byte
	for _, x := range w {
		b = binary.LittleEndian.AppendUint32(b, x)
	}
	return b
}

// initProgram is the whole program for this machine: headers, code, and the
// action {SIG_IGN, no flags, no restorer, no mask} that the code refers to.
func initProgram() ([]byte, error) {
	code, machine, err := initCode(runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	return static(append(code, binary.LittleEndian.AppendUint64(nil, 1)...), machine), nil
}

// static wraps code, to be entered at its first byte, into a static program. 24 zero bytes follow it.
func static(code []byte, machine uint16) []byte {
	const (
		base       = 0x400000
		headerSize = 64
		entrySize  = 56
		start      = headerSize + entrySize
		rest       = 24
	)
	size := uint64(start + len(code) + rest)
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			// A bytes.Buffer takes every fixed-size value.
			_ = binary.Write(&b, binary.LittleEndian, v)
		}
	}
	put([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)) // 64 bits, little endian, System V
	put(uint16(2), machine, uint32(1), uint64(base+start), uint64(headerSize), uint64(0), uint32(0))
	put(uint16(headerSize), uint16(entrySize), uint16(1), uint16(0), uint16(0), uint16(0))
	// One segment: the whole file, readable and executable.
	put(uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(0x1000))
	put(code, make([]byte, rest))
	return b.Bytes()
}

package agent

import (
	"fmt"

	"oddish/internal/sandbox"
)

// vendorScript gives the shell commands that bring a vendor's program into a folder. What an attempt that was cut off has left is removed first.
func vendorScript(v *Vendor, prefix, version string, on platform) string {
	return fmt.Sprintf("PREFIX=%s VERSION=%s\nrm -rf \"$PREFIX\" && mkdir -p \"$PREFIX\" && cd \"$PREFIX\" || exit 1\n%s", sandbox.Quote(prefix), sandbox.Quote(version), on.fill(v.Script))
}

// fetching gives the commands that see to it that the programs are there by which vendors' files are fetched; packages are also their names
// at every package manager.
func fetching(programs string) string {
	return fmt.Sprintf("for p in %s; do command -v \"$p\" >/dev/null 2>&1 || { need %[1]s ca-certificates || exit 1; break; }; done\n", programs)
}

// pythonVenv gives the commands that make the folder venv with at least Python 3.minor: the image's, or else one that uv brings.
func pythonVenv(minor int) string {
	return fmt.Sprintf(`if python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, %[1]d))' 2>/dev/null; then python3 -m venv venv || exit 1
else
  curl -fsSL https://astral.sh/uv/install.sh | env UV_INSTALL_DIR="$PREFIX/uv" UV_NO_MODIFY_PATH=1 sh || exit 1
  UV_PYTHON_INSTALL_DIR="$PREFIX/python" uv/uv venv --quiet --seed --python 3.%[1]d venv || exit 1
fi
`, minor)
}

//go:build unix

package cache

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestReadOnlyFolder opens in a folder the process may not write to. Root may
// write everywhere, so as root the other process is nobody.
func TestReadOnlyFolder(t *testing.T) {
	base, err := os.MkdirTemp("", "parley-readonly-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(base) }()
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(base, "program")
	if err := copyFile(os.Args[0], program); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(base, "data")
	if err := os.Mkdir(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"open cache", "open local"} {
		out, err := runChild(t, what, dir, func(cmd *exec.Cmd) {
			cmd.Path = program
			if os.Getuid() == 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}
		})
		if err == nil || !strings.Contains(out, "may not write to its data folder") {
			t.Errorf("%s: %v, said %q", what, err, out)
		}
	}
}

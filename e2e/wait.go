package e2e

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// patience is how long a test waits for anything. It is generous because a machine may be slow; a test that passes
// never waits it out.
const patience = 30 * time.Second

// Until looks again and again until ok holds, and fails the test with what was waited for if it never does.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s in vain for: %s", patience, what)
		case <-look.C:
		}
	}
}

// freePort finds a TCP port of the loopback address that nobody listens on.
func freePort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// root is the folder of the repository.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatalf("find the repository: %v", err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("find the repository: no go.mod in any folder above")
	return ""
}

// Program is the path of a program that make has built.
func Program(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(root(t), "build", "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not built: run `make server desktop-devtools` first", name)
	}
	return path
}

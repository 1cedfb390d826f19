package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
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

// freePort finds a TCP port of the loopback address that nobody listens on. It is below those that the system gives to
// outgoing connections, or one of them could take it while a server is being started again.
func freePort(t testing.TB) string {
	t.Helper()
	var err error
	for range 100 {
		var listener net.Listener
		if listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 12_000+rand.IntN(20_000))); err == nil {
			listener.Close()
			return listener.Addr().String()
		}
	}
	t.Fatalf("find a free port: %v", err)
	return ""
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

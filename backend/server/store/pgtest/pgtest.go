// Package pgtest gives tests a PostgreSQL of their own: started from the
// system's packages in a temporary folder, on a socket there, once per test
// binary, and gone with it however it ends.
package pgtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"parley/backend/chat"
)

// shared is the one server of a test binary. It is the exception to having no
// package state: starting a server for each test would cost seconds.
var shared struct {
	once  sync.Once
	dir   string
	stdin io.Closer // closed with the test binary by the system: the server's sign to end
	err   error
}

// watch starts the server and ends it when standard input ends. Nothing of it
// outlives the tests, so it need not survive a power cut, nor vacuum.
const watch = `"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c max_connections=200 -c shared_buffers=64MB \
	-c fsync=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0 -c autovacuum=off \
	>"$2/server.log" 2>&1 </dev/null &
server=$!
read -r _
kill -INT $server
wait $server
rm -rf "$2"`

// URL makes an empty database, dropped when the test ends, and gives its
// address. Where PostgreSQL is not installed the test fails.
func URL(tb testing.TB) string {
	tb.Helper()
	shared.once.Do(func() { shared.err = start() })
	if shared.err != nil {
		tb.Fatalf("start PostgreSQL: %v", shared.err)
	}
	name := "test_" + chat.NewID[chat.Workspace]().String()
	admin := address("postgres")
	if err := run(admin, `create database "`+name+`"`); err != nil {
		tb.Fatalf("make a test database: %v", err)
	}
	tb.Cleanup(func() {
		if err := run(admin, `drop database "`+name+`" with (force)`); err != nil {
			tb.Errorf("drop the test database: %v", err)
		}
	})
	return address(name)
}

func address(name string) string {
	q := url.Values{"host": {shared.dir}, "user": {"postgres"}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", Path: "/" + name, RawQuery: q.Encode()}).String()
}

// Exec runs statements in the database at an address, for tests that plant or
// look at what the store's own methods would not.
func Exec(tb testing.TB, address, statements string) {
	tb.Helper()
	if err := run(address, statements); err != nil {
		tb.Fatal(err)
	}
}

func run(address, statements string) (err error) {
	db, err := sql.Open("pgx", address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = db.ExecContext(ctx, statements)
	return err
}

func start() error {
	_ = stdlib.GetDefaultDriver() // the driver named "pgx"
	bin, err := binaries()
	if err != nil {
		return err
	}
	if shared.dir, err = os.MkdirTemp("", "pgtest"); err != nil {
		return err
	}
	attr, err := unprivileged(shared.dir)
	if err != nil {
		return err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(shared.dir, "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8",
		"--locale=C.UTF-8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, shared.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	server := exec.Command("/bin/sh", "-c", watch, "sh", bin, shared.dir)
	server.SysProcAttr, server.Dir = attr, shared.dir
	if shared.stdin, err = server.StdinPipe(); err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	return ready()
}

// binaries finds the newest installed PostgreSQL.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed (no /usr/lib/postgresql/*/bin/initdb): install Debian's package postgresql, as make test does")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // not a number: the least of all
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

// account finds the user that PostgreSQL runs as when the tests run as root,
// which it refuses.
func account(dir string) (uid, gid int, err error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		return uid, gid, errors.Join(err1, err2, os.Chown(dir, uid, gid))
	}
	return 0, 0, errors.New("the tests run as root, PostgreSQL must not, and there is no user postgres or nobody")
}

// ready waits until the server answers.
func ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := run(address("postgres"), `select 1`)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(shared.dir, "server.log")) // what there is helps; the error below stands anyway
			return fmt.Errorf("%w: %s", err, log)
		case <-tick.C:
		}
	}
}

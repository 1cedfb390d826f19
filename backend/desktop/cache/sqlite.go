package cache

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/mattn/go-sqlite3"

	"parley/backend/chat"
)

// dsn names a database file with the pragmas every connection must have.
func dsn(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // a drive letter
		if filepath.VolumeName(path) == "" {
			p = p[1:] // a relative path
		}
	}
	return "file:" + (&url.URL{Path: p}).EscapedPath() + "?" + q.Encode()
}

// localLock is the file that is locked while local.db is open.
const localLock = "local.lock"

// lockFolder makes the folder and takes a lock in it that ends with the
// process, however it ends.
func lockFolder(dir, name string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unavailable(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unavailable(err)
	}
	taken, err := tryLock(f)
	if err == nil && taken {
		return f, nil
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, unavailable(err)
	}
	return nil, chat.Errorf(chat.CodeUnavailable,
		"Parley is already running with the folder %s. Close the other window first, or start with another --data folder.", dir)
}

// InUse reports whether another program has the folder of a local.db open, and
// leaves it as it is. A folder that is not there is in nobody's use.
func InUse(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, localLock), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	free, err := tryLock(f)
	err = errors.Join(err, f.Close()) // which gives the lock back
	return err == nil && !free
}

// private makes the file where it is missing, readable for its owner only;
// SQLite gives the files beside it the same rights.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Close()
	}
	return unavailable(err)
}

// steady writes a query so that its plan does not depend on its values. SQLite
// otherwise notes for every parameter that is compared, or limits, that another
// value might want another plan, and because the driver clears all parameters
// before it sets them, such a statement is compiled anew each time it runs:
// that takes longer than most of them do.
func steady(query string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(query), " ")
	if word == "insert" {
		return query // compares nothing; what it puts in stays as it is
	}
	var b strings.Builder
	quoted := false
	for i := 0; i < len(query); i++ {
		switch {
		case query[i] == '\'':
			quoted = !quoted
		case query[i] == '?' && !quoted:
			end := i + 1
			for end < len(query) && query[end] >= '0' && query[end] <= '9' {
				end++
			}
			b.WriteString("ifnull(" + query[i:end] + ", null)")
			i = end - 1
			continue
		}
		b.WriteByte(query[i])
	}
	return b.String()
}

// needFTS5 refuses a program that was built without full-text search.
func needFTS5(ctx context.Context, conn *sql.Conn) error {
	var has bool
	if err := conn.QueryRowContext(ctx, "select sqlite_compileoption_used('ENABLE_FTS5')").Scan(&has); err != nil {
		return err
	}
	if !has {
		return chat.Errorf(chat.CodeInternal, "This program was built without full-text search. Build it with: go build -tags sqlite_fts5")
	}
	return nil
}

// errDamaged is in the chain of every error that means: the file is damaged.
var errDamaged = errors.New("the database file is damaged")

// IsDamaged reports whether a query met a damaged file. Closing the cache and
// opening it again sets the file aside; local.db is set aside only if a person
// says so, see SetLocalAside.
func IsDamaged(err error) bool { return errors.Is(err, errDamaged) }

// unavailable puts a sentence before an error of the disk; other errors pass
// unchanged.
func unavailable(err error) error {
	var known *chat.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case isFull(err):
		return &chat.Error{Code: chat.CodeUnavailable, Cause: err,
			Message: "The disk is full, so nothing new can be saved. Free some space; nothing that was saved is lost."}
	case isReadOnly(err):
		return &chat.Error{Code: chat.CodeUnavailable, Cause: err,
			Message: "Parley may not write to its data folder. Check the folder's permissions and that the disk is not read-only."}
	case isBlocked(err):
		return &chat.Error{Code: chat.CodeUnavailable, Cause: err,
			Message: "The data folder cannot be used right now. Check that the disk is connected and no other program holds the files."}
	case isDamage(err):
		return &chat.Error{Code: chat.CodeUnavailable, Cause: errors.Join(errDamaged, err),
			Message: "The local copy is damaged and will be loaded again from the server."}
	}
	return err
}

func sqliteCode(err error) (sqlite3.ErrNo, bool) {
	var e sqlite3.Error
	if errors.As(err, &e) {
		return e.Code, true
	}
	return 0, false
}

// isFull recognises a full disk, also where SQLite calls it an I/O error.
func isFull(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrFull || e.SystemErrno == syscall.ENOSPC) || errors.Is(err, syscall.ENOSPC)
}

func isReadOnly(err error) bool {
	code, ok := sqliteCode(err)
	return ok && (code == sqlite3.ErrReadonly || code == sqlite3.ErrPerm) || errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS)
}

// isBlocked recognises what may be over later: a lock, a disk that is away.
func isBlocked(err error) bool {
	var path *os.PathError
	var link *os.LinkError
	code, ok := sqliteCode(err)
	switch {
	case ok && (code == sqlite3.ErrBusy || code == sqlite3.ErrLocked || code == sqlite3.ErrIoErr || code == sqlite3.ErrCantOpen):
		return true
	case ok && (code == sqlite3.ErrReadonly || code == sqlite3.ErrPerm || code == sqlite3.ErrNomem):
		return true
	}
	return errors.As(err, &path) || errors.As(err, &link)
}

func isDamage(err error) bool {
	code, ok := sqliteCode(err)
	return ok && (code == sqlite3.ErrCorrupt || code == sqlite3.ErrNotADB)
}

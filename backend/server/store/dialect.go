package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/mattn/go-sqlite3"

	"parley/backend/chat"
)

// dialect is what differs between the two databases. Statements are written
// once, with question marks.
type dialect struct {
	postgres bool
	rebound  sync.Map // statement → statement with $1, $2, …
}

// bind gives the statement in the database's own placeholders. Statements
// contain no question mark but placeholders; a test checks that.
func (d *dialect) bind(q string) string {
	if !d.postgres {
		return q
	}
	if b, ok := d.rebound.Load(q); ok {
		return b.(string)
	}
	b := rebind(q)
	d.rebound.Store(q, b)
	return b
}

// insertChange appends changes to the log, one row of values each.
const insertChange = `insert into change (workspace_id, seq, at, kind, id, op, brand_id, conversation_id, member_id,
	actor_kind, actor_id, cause, data) values `

// many gives the statement that inserts n changes.
func (d *dialect) many(n int) string { return insertChange + rowsOf(n, columnsOfChange) }

// rowsOf gives n rows of k placeholders, for insert statements.
func rowsOf(n, k int) string {
	row := "(" + strings.Repeat("?, ", k-1) + "?)"
	return strings.Repeat(row+", ", n-1) + row
}

func rebind(q string) string {
	var b strings.Builder
	b.Grow(len(q) + 16)
	n := 0
	for i := range len(q) {
		if q[i] != '?' {
			b.WriteByte(q[i])
			continue
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

var (
	wordBlob    = regexp.MustCompile(`\bblob\b`)
	wordInteger = regexp.MustCompile(`\binteger\b`)
	wordText    = regexp.MustCompile(`\btext\b`)
)

// translate turns a migration into the words of the database. Text on
// PostgreSQL compares by bytes, as on SQLite: the order of ids, addresses and
// search terms must not depend on a locale.
func (d *dialect) translate(migration string) string {
	mine, other := "--sqlite ", "--postgres "
	if d.postgres {
		mine, other = other, mine
	}
	var b strings.Builder
	for line := range strings.Lines(migration) {
		if strings.HasPrefix(line, other) {
			continue
		}
		line = strings.TrimPrefix(line, mine)
		if code, _, found := strings.Cut(line, "--"); found {
			line = code + "\n"
		}
		if d.postgres {
			line = strings.Replace(line, ") strict;", ");", 1)
			line = wordBlob.ReplaceAllString(line, "bytea")
			line = wordInteger.ReplaceAllString(line, "bigint")
			line = wordText.ReplaceAllString(line, `text collate "C"`)
		}
		b.WriteString(line)
	}
	return b.String()
}

// The sentences for a database that cannot be used right now.
const (
	sayDiskFull    = "The disk that holds the data is full. Nothing acknowledged is lost; make room and try again."
	sayReadOnly    = "The data cannot be written: the folder or the database is read-only. Nothing acknowledged is lost."
	sayDiskTrouble = "The disk that holds the data reports an error. Nothing acknowledged is lost; check the disk and try again."
	sayDamaged     = "Part of the database is damaged and cannot be read. Stop the server, keep the database, and restore a backup."
	sayHalted      = "The database is damaged, so nothing more is written to it. Stop the server, keep the database, and restore a backup."
	sayBusy        = "The database is busy. Please try again."
	sayAway        = "The database cannot be reached. Please try again."
	sayTaken       = "This already exists: an id, an address or a name that must be unique is taken."
)

// wrap gives an error of the database its code and sentence, with the
// operation in front of the cause. Errors of the domain pass unchanged.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	var known *chat.Error
	if errors.As(err, &known) {
		return err
	}
	cause := &opError{op, err}
	if code, sentence := classify(err); code != "" {
		return &chat.Error{Code: code, Message: sentence, Cause: cause}
	}
	return cause
}

// opError is fmt.Errorf("%s: %w") without formatting unless it is printed.
type opError struct {
	op  string
	err error
}

func (e *opError) Error() string { return e.op + ": " + e.err.Error() }
func (e *opError) Unwrap() error { return e.err }

func classify(err error) (chat.Code, string) {
	var lite sqlite3.Error
	if errors.As(err, &lite) {
		return classifySQLite(lite)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return classifyPostgres(pg.Code)
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, context.DeadlineExceeded) {
		return chat.CodeUnavailable, sayAway
	}
	return "", ""
}

func classifySQLite(e sqlite3.Error) (chat.Code, string) {
	if full(e.SystemErrno) { // SQLite tells it apart only where it writes, and not where it makes a file bigger
		return chat.CodeUnavailable, sayDiskFull
	}
	switch e.Code {
	case sqlite3.ErrFull:
		return chat.CodeUnavailable, sayDiskFull
	case sqlite3.ErrReadonly, sqlite3.ErrPerm, sqlite3.ErrCantOpen, sqlite3.ErrAuth:
		return chat.CodeUnavailable, sayReadOnly
	case sqlite3.ErrIoErr:
		return chat.CodeUnavailable, sayDiskTrouble
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return chat.CodeUnavailable, sayDamaged
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrInterrupt, sqlite3.ErrNomem:
		return chat.CodeUnavailable, sayBusy
	case sqlite3.ErrConstraint:
		if e.ExtendedCode == sqlite3.ErrConstraintUnique || e.ExtendedCode == sqlite3.ErrConstraintPrimaryKey {
			return chat.CodeConflict, sayTaken
		}
	}
	return "", ""
}

// full reports whether the system has no room for a file.
func full(err error) bool {
	var lite sqlite3.Error
	return errors.As(err, &lite) && (lite.Code == sqlite3.ErrFull || full(lite.SystemErrno)) ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func classifyPostgres(state string) (chat.Code, string) {
	switch {
	case state == "23505":
		return chat.CodeConflict, sayTaken
	case state == "53100":
		return chat.CodeUnavailable, sayDiskFull
	case state == "25006":
		return chat.CodeUnavailable, sayReadOnly
	case state == "58030":
		return chat.CodeUnavailable, sayDiskTrouble
	case state == "XX001", state == "XX002":
		return chat.CodeUnavailable, sayDamaged
	case state == "40001", state == "40P01", state == "55P03", state == "57014":
		return chat.CodeUnavailable, sayBusy
	case strings.HasPrefix(state, "08"), strings.HasPrefix(state, "53"), strings.HasPrefix(state, "57P"):
		return chat.CodeUnavailable, sayAway
	}
	return "", ""
}

// local reports whether an error concerns only its statement, so that the rest
// of the transaction may go on after a rollback to the savepoint.
func local(err error) bool {
	var lite sqlite3.Error
	if errors.As(err, &lite) {
		switch lite.Code {
		case sqlite3.ErrConstraint, sqlite3.ErrError, sqlite3.ErrMismatch, sqlite3.ErrRange, sqlite3.ErrTooBig:
			return true
		}
		return false // SQLite may have rolled the whole transaction back by itself
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case pg.Severity == "FATAL", pg.Severity == "PANIC", strings.HasPrefix(pg.Code, "57P"), strings.HasPrefix(pg.Code, "08"),
			strings.HasPrefix(pg.Code, "53"), strings.HasPrefix(pg.Code, "58"), strings.HasPrefix(pg.Code, "XX"), strings.HasPrefix(pg.Code, "40"):
			return false
		}
		return true
	}
	return false
}

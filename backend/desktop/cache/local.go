package cache

import (
	"context"
	"database/sql"
	"embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"parley/backend/chat"
)

const (
	localFile   = "local.db"
	checkFolder = "local.check" // holds the copy that is checked at opening
	localAppID  = 0x50524c4c    // "PRLL"
)

// Each migration is one file, never changed once released; the version of a
// local.db is the number of the last one it has had.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// Local is an open local.db. Its methods may be called from any goroutine.
// Every write is on the disk when the method returns.
type Local struct {
	path string
	db   *sql.DB
	disk Disk
	lock *os.File
	seal sealing
}

// OpenLocal opens what only this machine knows, making the folder and the file
// where they are missing, and queues again what a dead process was sending.
//
// A file that is damaged, of another program or of a newer version is refused
// with a sentence and left exactly as it is: it may hold the only copy of
// something a person wrote.
func OpenLocal(dir string) (*Local, error) { return OpenLocalOn(nil, dir) }

// OpenLocalOn is OpenLocal on a disk that is watched.
func OpenLocalOn(disk Disk, dir string) (*Local, error) {
	lock, err := lockFolder(dir, localLock)
	if err != nil {
		return nil, fmt.Errorf("open local data: %w", err)
	}
	path := filepath.Join(dir, localFile)
	db, err := openLocal(path)
	if err != nil {
		return nil, fmt.Errorf("open local data: %w", errors.Join(err, lock.Close()))
	}
	l := &Local{path: path, db: db, disk: disk, lock: lock, seal: sealing{written: map[string]string{}}}
	if l.seal.with, err = loadSealer(db); err == nil {
		err = l.sweepOwed(context.Background())
	}
	if err != nil {
		return nil, fmt.Errorf("open local data: %w", errors.Join(l.failed(err), l.Close()))
	}
	return l, nil
}

func openLocal(path string) (*sql.DB, error) {
	list, err := migrations()
	if err != nil {
		return nil, err
	}
	if err := checkLocal(path, len(list)); err != nil {
		return nil, err
	}
	if err := private(path); err != nil {
		return nil, err
	}
	// One connection: writes are few, and a read sees what was just written.
	db, err := sql.Open("sqlite3", dsn(path, "_journal_mode", "WAL", "_synchronous", "FULL", "_busy_timeout", "5000",
		"_txlock", "immediate", "_foreign_keys", "1", "_secure_delete", "FAST", "_stmt_cache_size", "32"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	err = migrate(db, list)
	if err == nil {
		_, err = db.Exec("update outbox set state = 'queued' where state = 'sending'")
	}
	if err != nil {
		return nil, errors.Join(unavailable(err), db.Close())
	}
	return db, nil
}

// Close closes the file.
func (l *Local) Close() error { return errors.Join(l.db.Close(), l.lock.Close()) }

// WipeLocal deletes what only this machine knows of a folder. It must be closed.
func WipeLocal(dir string) error { return remove(dir, localFile) }

// migrations gives the text of each migration in order.
func migrations() ([]string, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var list []string
	for i, name := range names {
		if want := fmt.Sprintf("migrations/%03d.sql", i+1); name != want {
			return nil, fmt.Errorf("migration %s: want %s", name, want)
		}
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		list = append(list, string(text))
	}
	return list, nil
}

// migrate brings the file to the newest version, each step in a transaction
// with its number.
func migrate(db *sql.DB, list []string) error {
	var version int
	if err := db.QueryRow("pragma user_version").Scan(&version); err != nil {
		return err
	}
	for ; version < len(list); version++ {
		step := fmt.Sprintf("pragma application_id=%d; %s; pragma user_version=%d", localAppID, list[version], version+1)
		if err := inTx(context.Background(), db, func(tx *sql.Tx) error {
			_, err := tx.Exec(step)
			return err
		}); err != nil {
			return fmt.Errorf("migrate to version %d: %w", version+1, err)
		}
	}
	return nil
}

func inTx(ctx context.Context, db *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		if end := tx.Rollback(); end != nil && !errors.Is(end, sql.ErrTxDone) {
			return errors.Join(err, end)
		}
		return err
	}
	return tx.Commit()
}

// checkLocal refuses a file that must not be touched, without touching it: it
// looks at the bytes, and lets SQLite look at a copy.
func checkLocal(path string, newest int) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		if exists(path + "-wal") {
			return damagedLocal(path, nil)
		}
		return nil
	}
	if err != nil {
		return unavailable(err)
	}
	if !info.Mode().IsRegular() {
		return chat.Errorf(chat.CodeUnavailable, "%s is not a file. Move it away and start again.", path)
	}
	if err := checkHeader(path); err != nil {
		return err
	}
	// Beside it, not in the system's folder for temporary files: what was
	// written to nobody yet stays in the folder that was chosen for it.
	temp := filepath.Join(filepath.Dir(path), checkFolder)
	if err := os.RemoveAll(temp); err != nil { // of a check that was killed
		return unavailable(err)
	}
	if err := os.Mkdir(temp, 0o700); err != nil {
		return unavailable(err)
	}
	err = checkCopy(path, filepath.Join(temp, localFile), newest)
	return errors.Join(err, os.RemoveAll(temp))
}

func damagedLocal(path string, cause error) error {
	return &chat.Error{Code: chat.CodeConflict, Cause: errors.Join(errDamaged, cause), Message: "The file " + path +
		" is damaged. It was left as it is, because it may hold messages you have not sent. Restore it from a backup, or set it aside to start empty."}
}

func foreignLocal(path string) error {
	return chat.Errorf(chat.CodeConflict, "The file %s belongs to another program. It was left as it is. Move it away, or start with another --data folder.", path)
}

// checkHeader looks at the first bytes, which are the same in every version.
func checkHeader(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return unavailable(err)
	}
	defer f.Close()
	head := make([]byte, 100)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return unavailable(err)
	}
	if n < len(head) || string(head[:16]) != "SQLite format 3\x00" {
		if n >= 16 && string(head[:16]) == "SQLite format 3\x00" {
			return damagedLocal(path, nil)
		}
		return foreignLocal(path)
	}
	if app := binary.BigEndian.Uint32(head[68:]); app != localAppID && app != 0 {
		return foreignLocal(path)
	}
	return nil
}

// checkCopy lets SQLite read a copy of the file and its log.
func checkCopy(path, temp string, newest int) error {
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(path+suffix, temp+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return unavailable(err)
		}
	}
	db, err := sql.Open("sqlite3", dsn(temp, "mode", "rw"))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var app, version, tables int
	err = db.QueryRow("select application_id, user_version, (select count(*) from sqlite_schema) from pragma_application_id, pragma_user_version").Scan(&app, &version, &tables)
	switch {
	case err != nil:
		return unreadLocal(path, err)
	case app != localAppID && (app != 0 || tables > 0 || version > 0):
		return foreignLocal(path)
	case version > newest:
		return chat.Errorf(chat.CodeConflict, "The file %s was written by a newer version of Parley. It was left as it is. Please install the newest version.", path)
	}
	var verdict string
	if err := db.QueryRow("pragma quick_check(1)").Scan(&verdict); err != nil {
		return unreadLocal(path, err)
	}
	if verdict != "ok" {
		return damagedLocal(path, errors.New(verdict))
	}
	return nil
}

// unreadLocal tells a disk that is full, or away, from a file that is damaged.
func unreadLocal(path string, err error) error {
	if isFull(err) || isBlocked(err) {
		return unavailable(err)
	}
	return damagedLocal(path, err)
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// write runs a durable write. Texts are sealed for one key throughout.
func (l *Local) write(ctx context.Context, op string, fn func(*sql.Tx) error) error {
	l.seal.mu.RLock()
	defer l.seal.mu.RUnlock()
	var noted map[string]string
	err := l.commit(ctx, op, func(tx *sql.Tx) error {
		noted = l.seal.notes()
		return fn(tx)
	})
	if err != nil && noted != nil {
		l.seal.renote(noted) // what is not in the file was not written
	}
	return err
}

func (l *Local) commit(ctx context.Context, op string, fn func(*sql.Tx) error) error {
	// Once begun it is finished: a half-given answer would leave the caller
	// not knowing whether the text is safe.
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	err := inTx(context.WithoutCancel(ctx), l.db, func(tx *sql.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return l.disk.before(l.path, op)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", op, l.failed(err))
	}
	l.disk.after(l.path, op)
	return nil
}

// failed puts a sentence before an error of the disk. What is damaged here
// nobody can send again.
func (l *Local) failed(err error) error {
	if isDamage(err) {
		return damagedLocal(l.path, err)
	}
	return unavailable(err)
}

func readLocal[T any](ctx context.Context, l *Local, op, query string, args []any, scan func(*sql.Rows) (T, error)) ([]T, error) {
	rows, err := l.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, l.failed(err))
	}
	out, err := collect(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, l.failed(err))
	}
	return out, nil
}

// Draft is what somebody has written and not sent.
type Draft struct {
	Conversation chat.ConversationID
	Text         string
	Comment      bool
	UpdatedAt    chat.Time
	Synced       bool // the server has it too
	// Base is how far the log of Epoch was known when it was begun.
	Base  int64
	Epoch string

	sealed bool // and could not be opened
}

const draftColumns = "conversation, text, comment, updated_at, synced"

func (l *Local) drafts(ctx context.Context, op, where string, args ...any) ([]Draft, error) {
	l.seal.mu.RLock()
	defer l.seal.mu.RUnlock()
	all, err := readLocal(ctx, l, op, "select "+draftColumns+", base, epoch from draft "+where, args, func(rows *sql.Rows) (d Draft, err error) {
		err = rows.Scan(&d.Conversation, &d.Text, &d.Comment, &d.UpdatedAt, &d.Synced, &d.Base, &d.Epoch)
		d.Text, d.sealed = l.read(draftRow(d.Conversation), d.Text)
		return d, err
	})
	return slices.DeleteFunc(all, func(d Draft) bool { return d.sealed }), err
}

// PutDraft keeps a draft, replacing the conversation's earlier one.
func (l *Local) PutDraft(ctx context.Context, d Draft) error {
	return l.write(ctx, "keep draft", func(tx *sql.Tx) error { return l.putDraft(tx, d) })
}

func (l *Local) putDraft(tx *sql.Tx, d Draft) error {
	if err := l.makeRoom(tx, d.Conversation); err != nil {
		return err
	}
	text, err := l.put(draftRow(d.Conversation), d.Text)
	if err != nil {
		return err
	}
	_, err = tx.Exec("insert or replace into draft ("+draftColumns+", base, epoch) values (?, ?, ?, ?, ?, ?, ?)",
		d.Conversation, text, d.Comment, int64(d.UpdatedAt), d.Synced, d.Base, d.Epoch)
	return err
}

// Draft gives a conversation's draft; false if there is none.
func (l *Local) Draft(ctx context.Context, conversation chat.ConversationID) (Draft, bool, error) {
	all, err := l.drafts(ctx, "read draft", "where conversation = ?", conversation)
	if err != nil || len(all) == 0 {
		return Draft{}, false, err
	}
	return all[0], true, nil
}

// Drafts gives all drafts that can be read, newest first.
func (l *Local) Drafts(ctx context.Context) ([]Draft, error) {
	return l.drafts(ctx, "read drafts", "order by updated_at desc")
}

// MarkDraftSynced notes that the server has the draft, unless it has changed
// since updatedAt.
func (l *Local) MarkDraftSynced(ctx context.Context, conversation chat.ConversationID, updatedAt chat.Time) error {
	return l.write(ctx, "mark draft", func(tx *sql.Tx) error {
		_, err := tx.Exec("update draft set synced = 1 where conversation = ? and updated_at = ?", conversation, int64(updatedAt))
		return err
	})
}

// DropDraft forgets a conversation's draft.
func (l *Local) DropDraft(ctx context.Context, conversation chat.ConversationID) error {
	return l.write(ctx, "drop draft", func(tx *sql.Tx) error { return l.dropDraft(tx, conversation) })
}

func (l *Local) dropDraft(tx *sql.Tx, conversation chat.ConversationID) error {
	if err := l.makeRoom(tx, conversation); err != nil {
		return err
	}
	_, err := tx.Exec("delete from draft where conversation = ?", conversation)
	return err
}

// Setting gives a setting; false if it was never put.
func (l *Local) Setting(ctx context.Context, key string) (json.RawMessage, bool, error) {
	all, err := readLocal(ctx, l, "read setting", "select value from setting where key = ?", []any{key}, scan1[[]byte])
	if err != nil || len(all) == 0 {
		return nil, false, err
	}
	return all[0], true, nil
}

// Settings gives the settings whose keys begin with prefix.
func (l *Local) Settings(ctx context.Context, prefix string) (map[string]json.RawMessage, error) {
	type pair struct {
		key   string
		value json.RawMessage
	}
	all, err := readLocal(ctx, l, "read settings", "select key, value from setting where substr(key, 1, length(?1)) = ?1", []any{prefix},
		func(rows *sql.Rows) (p pair, err error) {
			err = rows.Scan(&p.key, (*[]byte)(&p.value))
			return p, err
		})
	if err != nil {
		return nil, err
	}
	out := make(map[string]json.RawMessage, len(all))
	for _, p := range all {
		out[p.key] = p.value
	}
	return out, nil
}

// PutSetting keeps a setting.
func (l *Local) PutSetting(ctx context.Context, key string, value json.RawMessage) error {
	if !json.Valid(value) {
		return fmt.Errorf("keep setting: %w", chat.Invalid(key, "The setting is not valid JSON."))
	}
	return l.write(ctx, "keep setting", func(tx *sql.Tx) error {
		_, err := tx.Exec("insert or replace into setting (key, value) values (?, ?)", key, string(value))
		return err
	})
}

// DropSetting forgets a setting.
func (l *Local) DropSetting(ctx context.Context, key string) error {
	return l.write(ctx, "drop setting", func(tx *sql.Tx) error {
		_, err := tx.Exec("delete from setting where key = ?", key)
		return err
	})
}

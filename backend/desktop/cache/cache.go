// Package cache is what the desktop keeps on disk, in two SQLite files per
// account and workspace.
//
// cache.db (Cache) holds what the server can send again: conversations,
// messages, contacts, settings. It is disposable: a damaged, foreign or newer
// file is set aside and the cache begins empty. An entity's JSON is kept byte
// for byte as it came, so fields this version does not know survive; the
// columns beside it are only what lists sort and filter by.
//
// local.db (Local) holds what only this machine knows: commands waiting to be
// accepted, drafts, settings. It is never dropped and every write is durable
// when the call returns.
//
// Guarantees. A row is replaced only by one with a higher ver, so packets,
// history pages, bootstrap lines and command answers may arrive in any order
// and any number of times. A packet is applied only at its own position, in
// one transaction with the new position. What the member may no longer see
// is out of sight with the transaction that says so, and its rows are removed
// by and by. One goroutine writes; reads run
// beside it on connections of their own and see only whole transactions.
package cache

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"parley/backend/chat"
)

const (
	cacheFile  = "cache.db"
	asideFile  = "cache.aside.db"
	damageFile = "cache.damaged" // says that a query met a damaged page
	cacheAppID = 0x50524c43      // "PRLC"
)

// damagedCache is the reason of SetAside for a damaged file.
const damagedCache = "The cache was damaged."

// Cache is an open cache.db. Its methods may be called from any goroutine.
type Cache struct {
	dir   string
	log   *slog.Logger
	disk  Disk
	lock  *os.File
	aside *SetAside
	keys  *Local // whose key seals what the member has written
	// opened is of it what this run has sealed or opened.
	opened opened

	writer *writer
	read   *reader
	find   *reader // of its own, so that a search never delays a list or a thread
	state  atomic.Pointer[state]
	names  atomic.Pointer[directory]

	checked   atomic.Int64 // see NoteChecked
	unclean   atomic.Bool  // it was not closed last time
	damage    sync.Once
	onDamage  func(error)
	tailTime  time.Duration
	hurried   atomic.Bool // a search has left out some of what is not indexed
	onIndexed func()
	helpers   sync.WaitGroup // what onDamage runs in
}

// Open opens the cache in dir, making both where they are missing. A file that
// cannot be used is renamed and reported by SetAside. A second process, or a
// second Open, on the same folder is refused.
func Open(dir string, opts Options) (*Cache, error) {
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	lock, err := lockFolder(dir, "cache.lock")
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	c := &Cache{dir: dir, log: log, disk: opts.Disk, keys: opts.Keys, lock: lock, onDamage: opts.OnDamage, onIndexed: opts.OnIndexed, tailTime: tailTime}
	if err := c.open(); err != nil {
		return nil, fmt.Errorf("open cache: %w", errors.Join(err, c.Close()))
	}
	return c, nil
}

func (c *Cache) open() error {
	path := filepath.Join(c.dir, cacheFile)
	reason, err := unusable(c.dir)
	if err != nil {
		return err
	}
	if reason == "" {
		if err = c.start(path); !IsDamaged(err) {
			if err == nil && c.Loaded() {
				c.dropAside() // where a crash or an error kept it
			}
			return err
		}
		reason = damagedCache // where only what the writer reads first shows it
	}
	if c.aside, err = setAside(c.dir, reason); err != nil {
		return err
	}
	c.log.Warn("cache set aside", "reason", reason, "kept", c.aside.Kept)
	return c.start(path)
}

func (c *Cache) start(path string) (err error) {
	if err := private(path); err != nil {
		return err
	}
	if c.writer, err = openWriter(path, c); err != nil {
		return err
	}
	if c.read, err = openReader(path, readers); err != nil {
		return err
	}
	c.read.plan = steady
	c.find, err = openReader(path, finders)
	return err
}

// Close waits for the write under way and closes the files.
func (c *Cache) Close() error {
	var errs []error
	for _, r := range []*reader{c.read, c.find} {
		if r != nil {
			errs = append(errs, r.db.Close())
		}
	}
	if c.writer != nil {
		errs = append(errs, c.writer.close())
	}
	c.helpers.Wait() // after the writer: nothing can meet damage any more
	if c.lock != nil {
		errs = append(errs, c.lock.Close()) // gives the lock back
	}
	return errors.Join(errs...)
}

// SetAside tells what became of a cache that could not be used; nil if there
// was none.
func (c *Cache) SetAside() *SetAside { return c.aside }

// Wipe deletes the cache of a folder, with whatever was set aside. The cache
// must be closed.
func Wipe(dir string) error { return remove(dir, cacheFile, asideFile, damageFile) }

// remove deletes database files and what SQLite keeps beside them.
func remove(dir string, names ...string) error {
	var errs []error
	for _, name := range names {
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			if err := os.Remove(filepath.Join(dir, name+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("wipe %s: %w", dir, unavailable(err))
	}
	return nil
}

// Position is how far the cache has followed the change log, and of which
// epoch. 0 and "" mean that there is nothing yet.
func (c *Cache) Position() (position int64, epoch string) {
	s := c.state.Load()
	return s.Position, s.Epoch
}

// Era tells one change log from the next: it changes when what was cached turns
// out to be of another log, of another epoch or put back under the same one.
// Versions of different eras cannot be compared.
func (c *Cache) Era() int64 { return c.state.Load().Floor }

// Access is what the member may see, as last told; false before that.
func (c *Cache) Access() (chat.Access, bool) {
	if a := c.state.Load().Access; a != nil {
		return *a, true
	}
	return chat.Access{}, false
}

// SetPosition moves the position, for example after a state that needs no bootstrap.
func (c *Cache) SetPosition(ctx context.Context, position int64, epoch string) error {
	return c.writer.do(ctx, "set position", func(t *tx) error {
		t.state.Position, t.state.Epoch = position, epoch
		return nil
	})
}

// unusable gives the reason why the file in dir cannot be used, "" if it can
// or if there is none.
func unusable(dir string) (reason string, err error) {
	path := filepath.Join(dir, cacheFile)
	if _, err := os.Stat(filepath.Join(dir, damageFile)); err == nil {
		return damagedCache, nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 && !exists(path+"-wal") {
		return "", nil
	}
	if err != nil {
		return "", unavailable(err)
	}
	if !info.Mode().IsRegular() {
		return "", chat.Errorf(chat.CodeUnavailable, "%s is not a file, so the cache cannot be kept there.", path)
	}
	db, err := sql.Open("sqlite3", dsn(path, "mode", "rw", "_busy_timeout", "5000"))
	if err != nil {
		return "", fmt.Errorf("inspect: %w", err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	return inspect(db)
}

func inspect(db *sql.DB) (reason string, err error) {
	var app, version int64
	var hash string
	err = db.QueryRow("select application_id, user_version from pragma_application_id, pragma_user_version").Scan(&app, &version)
	if err == nil && app != cacheAppID {
		return "The file was not a cache of this program.", nil
	}
	if err == nil {
		err = db.QueryRow("select value from meta where key = 'schema'").Scan(&hash)
	}
	switch {
	case err == nil && hash != schemaHash():
		return "The cache was made by another version of this program.", nil
	case err == nil:
		return "", nil
	case isFull(err) || isBlocked(err):
		return "", unavailable(err)
	}
	return damagedCache, nil
}

// setAside renames the cache, replacing what was set aside before: one old
// copy is enough for support and bounds the disk.
func setAside(dir, reason string) (*SetAside, error) {
	if err := remove(dir, asideFile); err != nil {
		return nil, err
	}
	from, to := filepath.Join(dir, cacheFile), filepath.Join(dir, asideFile)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(from+suffix, to+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, unavailable(fmt.Errorf("set aside: %w", err))
		}
	}
	if err := os.Remove(filepath.Join(dir, damageFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, unavailable(fmt.Errorf("set aside: %w", err))
	}
	return &SetAside{Reason: reason, Kept: to}, nil
}

// dropAside deletes what was set aside: it is a copy of everything, of no use
// once the cache is loaded anew, and must not outlive the right to read it. One
// that cannot be deleted goes when the cache is loaded, or opened again.
func (c *Cache) dropAside() {
	if err := remove(c.dir, asideFile); err != nil {
		c.log.Warn("delete cache that was set aside", "error", err)
	}
}

func (c *Cache) path() string { return filepath.Join(c.dir, cacheFile) }

// besides is how much lies beside the file: its log, and what was set aside.
func (c *Cache) besides() (sum int64) {
	aside := filepath.Join(c.dir, asideFile)
	for _, path := range []string{c.path() + "-wal", aside, aside + "-wal"} {
		if info, err := os.Stat(path); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

package desktop

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
)

// Looking after what is on the disk is for when nobody needs the machine: in
// small steps, none while the agent opens chats or types.
const (
	careEvery  = time.Minute // between two looks
	careSeldom = time.Hour
	careStep   = 10 * time.Millisecond                     // of writing
	carePause  = 50 * time.Millisecond                     // between two steps
	careYield  = time.Second                               // after the agent last opened a chat, or typed
	checkYield = 20 * time.Second                          // the same for reading the whole file
	checkTries = 5                                         // then it is not broken off any more
	openedKeep = 30 * 24 * time.Hour                       // what was opened since stays
	failedKeep = openedKeep                                // nor what has failed since
	rowsKeep   = bootstrapDays*24*time.Hour + 24*time.Hour // a load brings what is younger
	touchEvery = time.Hour                                 // how exactly it is known when a file was used
)

// StorageLimits are how much of this computer's disk an account's copy may
// take; 0 is no limit.
type StorageLimits struct {
	CacheBytes int64 `json:"cache_bytes"` // conversations, messages, contacts
	FilesBytes int64 `json:"files_bytes"` // contents of files
	Days       int   `json:"days"`        // messages of chats that are done go after so many
}

// Storage says how much that is now.
type Storage struct {
	CacheBytes int64         `json:"cache_bytes"`
	FilesBytes int64         `json:"files_bytes"`
	Limits     StorageLimits `json:"limits"`
}

const (
	settingStorage = "engine.storage"
	defaultBytes   = 2 << 30
	leastBytes     = 50 << 20 // below that the background would fill what is emptied at once
)

// Storage says how much of the disk the open account's copy takes and may take.
func (e *Engine) Storage() (Storage, error) {
	ctx, cancel := e.reading()
	defer cancel()
	s, err := e.session()
	if err != nil {
		return Storage{}, err
	}
	size, err := s.cache.Size(ctx)
	if err != nil {
		return Storage{}, s.fault(err)
	}
	files, err := filesIn(s.filesFolder())
	if err != nil {
		return Storage{}, err
	}
	limits, err := e.storageLimits(ctx)
	return Storage{CacheBytes: size.File, FilesBytes: sizeOf(files), Limits: limits}, err
}

// SetStorageLimits keeps the limits of this device and begins to make room.
func (e *Engine) SetStorageLimits(l StorageLimits) error {
	switch {
	case l.CacheBytes != 0 && l.CacheBytes < leastBytes:
		return chat.Invalid("cache_bytes", "Messages need at least %d MB.", leastBytes>>20)
	case l.FilesBytes < 0 || l.Days < 0:
		return chat.Invalid("limits", "A limit cannot be negative.")
	}
	if err := e.unusable(); err != nil {
		return err
	}
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("keep limits: %w", err)
	}
	ctx, cancel := e.reading()
	defer cancel()
	if err := e.device.PutSetting(ctx, settingStorage, b); err != nil {
		return err
	}
	if s := e.view.Load().session; s != nil {
		select {
		case s.lookAfter <- struct{}{}:
		default: // is about to
		}
	}
	return nil
}

func (e *Engine) storageLimits(ctx context.Context) (StorageLimits, error) {
	l := StorageLimits{CacheBytes: defaultBytes, FilesBytes: defaultBytes}
	raw, ok, err := e.device.Setting(ctx, settingStorage)
	if err == nil && ok {
		err = json.Unmarshal(raw, &l)
	}
	if err != nil {
		return StorageLimits{}, fmt.Errorf("read limits: %w", err)
	}
	return l, nil
}

// opened notes that the agent looks at a chat.
func (s *session) opened(c chat.ConversationID) {
	s.openedMu.Lock()
	defer s.openedMu.Unlock()
	s.openedAt[c] = s.e.now()
}

// care looks after the disk until the session ends: soon again where there was
// something to do, seldom where there was not.
func (s *session) care() {
	s.forgetParts()
	broken := 0
	for wait := careEvery; ; {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.lookAfter:
			timer.Stop()
		case <-s.ctx.Done():
			timer.Stop()
			s.keepOpened(context.WithoutCancel(s.ctx))
			return
		}
		pruned, err := s.makeRoom()
		if err != nil && s.ctx.Err() == nil {
			s.e.log.Warn("make room", "error", err)
		}
		if s.rested() >= checkYield && !s.check(broken < checkTries) {
			broken++
		}
		wait = min(2*wait, careSeldom)
		if due, _ := s.cache.CheckDue(s.e.now()); due || pruned > 0 {
			wait = careEvery
		}
	}
}

// rested is for how long the agent has not opened a chat or typed.
func (s *session) rested() time.Duration {
	return s.e.clock().Mono - time.Duration(s.worked.Load())
}

// rest waits until the agent pauses, and a little.
func (s *session) rest() error {
	for wait := carePause; wait > 0; wait = careYield - s.rested() {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.ctx.Done():
			timer.Stop()
			return s.ctx.Err()
		}
	}
	return nil
}

func (s *session) keepOpened(ctx context.Context) {
	s.openedMu.Lock()
	opened := s.openedAt
	s.openedAt = map[chat.ConversationID]chat.Time{}
	s.openedMu.Unlock()
	if len(opened) == 0 {
		return
	}
	if err := s.cache.NoteOpened(ctx, opened); err != nil {
		s.e.log.Warn("note what was opened", "error", err)
	}
}

// makeRoom prunes the cache and the files to what they may take.
// It says of how many conversations something went.
func (s *session) makeRoom() (pruned int, err error) {
	limits, err := s.e.storageLimits(s.ctx)
	if err != nil {
		return 0, err
	}
	if err := s.pruneFiles(limits.FilesBytes); err != nil {
		s.e.log.Warn("prune files", "error", err)
	}
	s.keepOpened(s.ctx)
	now := s.e.now()
	p := cache.Pruning{Bytes: limits.CacheBytes, RowsBefore: now.Add(-rowsKeep), OpenedSince: now.Add(-openedKeep),
		FailedSince: now.Add(-failedKeep), Me: s.me, Keep: s.needed}
	if limits.Days > 0 {
		p.Before = now.Add(-time.Duration(limits.Days) * 24 * time.Hour)
	}
	run := s.cache.Pruner(p)
	for more := true; more; {
		if err := s.rest(); err != nil {
			return run.Pruned(), err
		}
		s.keepOpened(s.ctx) // opened meanwhile
		if more, err = run.Step(s.ctx, careStep); err != nil {
			return run.Pruned(), err
		}
	}
	if n := run.Pruned(); n > 0 {
		s.e.log.Info("cache pruned", "conversations", n)
		s.countAgain()
		s.e.tell.everything() // rows may have gone
	}
	return run.Pruned(), nil
}

// needed reports that something of this device waits in a chat, or that it is
// the one on the screen.
func (s *session) needed(c chat.ConversationID) bool {
	if v := s.viewing.Load(); v != nil && *v == c {
		return true
	}
	if len(s.outbox.Snapshot().Of(c)) > 0 || s.laterNow().in(c) {
		return true
	}
	_, drafted := s.drafts.local(c)
	return drafted
}

// check reads the whole file if that is due, and reports false if it was broken
// off because the agent needs the machine.
func (s *session) check(yield bool) bool {
	now := s.e.now()
	due, whole := s.cache.CheckDue(now)
	if !due {
		return true
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	if yield {
		s.breakOff.Store(&cancel)
		defer s.breakOff.Store(nil)
	}
	err := s.cache.Check(ctx, whole, now)
	if err != nil && ctx.Err() == nil {
		s.e.log.Error("check cache", "error", err) // damage is told by the cache itself
	}
	return ctx.Err() == nil
}

// storedFile is the content of a file on this device.
type storedFile struct {
	path string
	size int64
	used time.Time
}

func sizeOf(files []storedFile) (sum int64) {
	for _, f := range files {
		sum += f.size
	}
	return sum
}

// filesIn gives what is in the folder of files, without what is being written.
func filesIn(folder string) (files []storedFile, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case os.IsNotExist(err):
			return nil // none yet, or gone meanwhile
		case err != nil || d.IsDir() || strings.HasPrefix(d.Name(), "."):
			return err
		}
		info, err := d.Info()
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil {
			files = append(files, storedFile{path, info.Size(), info.ModTime()})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at files: %w", err)
	}
	return files, nil
}

// pruneFiles removes the files that were not used for longest, until there is
// some room to spare. Whoever opens one fetches it again.
func (s *session) pruneFiles(limit int64) error {
	files, err := filesIn(s.filesFolder())
	if err != nil {
		return err
	}
	size := sizeOf(files)
	if limit == 0 || size <= limit {
		return nil
	}
	slices.SortFunc(files, func(a, b storedFile) int { return a.used.Compare(b.used) })
	for _, f := range files {
		if size <= limit/10*9 {
			break
		}
		if err := os.Remove(f.path); err != nil {
			s.e.log.Warn("remove file", "error", err) // somebody looks at it
			continue
		}
		size -= f.size
	}
	return nil
}

// touch notes that a file is used, so that it is not the next to go.
func touch(path string, info fs.FileInfo) error {
	if now := time.Now(); now.Sub(info.ModTime()) > touchEvery {
		return os.Chtimes(path, now, now)
	}
	return nil
}

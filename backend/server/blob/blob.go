// Package blob keeps files in a folder, each under the SHA-256 of its content.
// A file appears under its name only when it is complete, its content hashes
// to that name and it is on the disk for good; it never changes afterwards.
// An upload may come in pieces: what has arrived of it survives a break.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"parley/backend/chat"
)

// ErrMismatch is the cause of the error for content that does not hash to its name.
var ErrMismatch = errors.New("the content does not hash to its name")

// Folder is a folder of files. Its methods may be called from many goroutines.
type Folder struct {
	dir string
	mu  sync.Mutex
	// busy holds, per file being uploaded, a channel that is closed when the
	// upload has ended.
	busy map[string]chan struct{}
}

// Open opens a folder and makes it if needed.
func Open(dir string) (*Folder, error) {
	if err := os.MkdirAll(filepath.Join(dir, "part"), 0o700); err != nil {
		return nil, problem("open files", err)
	}
	return &Folder{dir: dir, busy: map[string]chan struct{}{}}, nil
}

// Has reports whether the file is there, complete.
func (f *Folder) Has(sha string) bool {
	if check(sha) != nil {
		return false
	}
	info, err := os.Stat(f.path(sha))
	return err == nil && info.Mode().IsRegular()
}

// Open opens a file for reading and tells its size.
func (f *Folder) Open(sha string) (io.ReadSeekCloser, int64, error) {
	if err := check(sha); err != nil {
		return nil, 0, err
	}
	file, err := os.Open(f.path(sha))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, chat.Errorf(chat.CodeNotFound, "There is no such file.")
	}
	if err != nil {
		return nil, 0, problem("open file", err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(problem("open file", err), file.Close())
	}
	return file, info.Size(), nil
}

// Received tells how many bytes of a file have arrived, and whether that is
// all of it.
func (f *Folder) Received(sha string) (received int64, done bool) {
	if check(sha) != nil {
		return 0, false
	}
	if info, err := os.Stat(f.path(sha)); err == nil {
		return info.Size(), true
	}
	if info, err := os.Stat(f.part(sha)); err == nil {
		return info.Size(), false
	}
	return 0, false
}

// Put takes the piece of a file that begins at offset; the file has total
// bytes. It tells how much has been received from the beginning, and whether
// the file is complete; a piece that would leave a hole is not read. One
// upload of a file runs at a time, another waits for it.
//
// Content that does not hash to the name is thrown away: chat.CodeInvalid,
// with ErrMismatch. More bytes than total: chat.CodeTooLarge. If r fails, what
// came before stays and the next piece may go on from there.
func (f *Folder) Put(ctx context.Context, sha string, r io.Reader, offset, total int64) (received int64, done bool, err error) {
	if err := check(sha); err != nil {
		return 0, false, err
	}
	if offset < 0 || total < 0 || offset > total {
		return 0, false, chat.Invalid("content_range", "The range of the piece is not inside the file.")
	}
	release, err := f.acquire(ctx, sha)
	if err != nil {
		return 0, false, err
	}
	defer release()
	if received, done = f.Received(sha); done || offset > received {
		return received, done, nil
	}
	return f.receive(ctx, sha, r, offset, total)
}

// acquire makes the caller the only one who uploads the file.
func (f *Folder) acquire(ctx context.Context, sha string) (release func(), err error) {
	mine := make(chan struct{})
	for {
		f.mu.Lock()
		other := f.busy[sha]
		if other == nil {
			f.busy[sha] = mine
			f.mu.Unlock()
			return func() {
				f.mu.Lock()
				delete(f.busy, sha)
				f.mu.Unlock()
				close(mine)
			}, nil
		}
		f.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (f *Folder) receive(ctx context.Context, sha string, r io.Reader, offset, total int64) (received int64, done bool, err error) {
	file, err := os.OpenFile(f.part(sha), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, false, problem("receive file", err)
	}
	defer func() {
		if file != nil {
			err = errors.Join(err, problem("receive file", file.Close()))
		}
	}()
	if err := file.Truncate(offset); err != nil { // a piece sent again replaces what came of it
		return 0, false, problem("receive file", err)
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return 0, false, problem("receive file", err)
	}
	n, err := io.Copy(file, io.LimitReader(&stoppable{ctx, r}, total-offset))
	received = offset + n
	if err != nil {
		return received, false, problem("receive file", err)
	}
	if received < total {
		return received, false, nil
	}
	if extra, _ := r.Read(make([]byte, 1)); extra > 0 { // only whether there is more matters here
		return received, false, errors.Join(&chat.Error{Code: chat.CodeTooLarge, Message: "The file is longer than it was said to be."},
			problem("receive file", os.Remove(f.part(sha))))
	}
	if err := f.verify(file, sha); err != nil {
		return 0, false, errors.Join(err, problem("receive file", os.Remove(f.part(sha))))
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		file = nil
		return received, false, problem("receive file", err)
	}
	file = nil
	return received, true, f.settle(sha)
}

// stoppable ends a copy when its context does.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

func (f *Folder) verify(file io.ReadSeeker, sha string) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return problem("check file", err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return problem("check file", err)
	}
	if hex.EncodeToString(h.Sum(nil)) != sha {
		return &chat.Error{Code: chat.CodeInvalid, Field: "sha256", Cause: ErrMismatch,
			Message: "The content does not hash to its name. It was thrown away; please send it again."}
	}
	return nil
}

// settle gives a complete file its name, durably.
func (f *Folder) settle(sha string) error {
	path := f.path(sha)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return problem("keep file", err)
	}
	if err := os.Rename(f.part(sha), path); err != nil {
		return problem("keep file", err)
	}
	for _, dir := range []string{filepath.Dir(path), f.dir} {
		d, err := os.Open(dir)
		if err != nil {
			return problem("keep file", err)
		}
		if err := errors.Join(ignoreUnsupported(d.Sync()), d.Close()); err != nil {
			return problem("keep file", err)
		}
	}
	return nil
}

// ignoreUnsupported passes over systems on which folders cannot be synced.
func ignoreUnsupported(err error) error {
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// Sweep removes what has arrived of uploads that nobody has continued since
// before, and tells how many there were.
func (f *Folder) Sweep(before time.Time) (int, error) {
	entries, err := os.ReadDir(filepath.Join(f.dir, "part"))
	if err != nil {
		return 0, problem("sweep files", err)
	}
	n := 0
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.ModTime().Before(before) || f.uploading(e.Name()) {
			continue // it has just become a file, or is becoming one
		}
		if err := os.Remove(filepath.Join(f.dir, "part", e.Name())); err != nil {
			return n, problem("sweep files", err)
		}
		n++
	}
	return n, nil
}

func (f *Folder) uploading(sha string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.busy[sha] != nil
}

// path spreads files over 256 folders.
func (f *Folder) path(sha string) string { return filepath.Join(f.dir, sha[:2], sha) }

func (f *Folder) part(sha string) string { return filepath.Join(f.dir, "part", sha) }

// check makes sure that a name is a hash, and therefore no path.
func check(sha string) error {
	if len(sha) == 64 {
		valid := true
		for _, c := range []byte(sha) {
			valid = valid && (c >= '0' && c <= '9' || c >= 'a' && c <= 'f')
		}
		if valid {
			return nil
		}
	}
	return chat.Invalid("sha256", "A file is named by the SHA-256 of its content, 64 hex digits in lower case.")
}

// problem words an error of the disk.
func problem(op string, err error) error {
	if err == nil {
		return nil
	}
	cause := fmt.Errorf("%s: %w", op, err)
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return &chat.Error{Code: chat.CodeUnavailable, Message: "The disk that holds the files is full. Make room and try again.", Cause: cause}
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		return &chat.Error{Code: chat.CodeUnavailable, Message: "The folder for files cannot be written.", Cause: cause}
	}
	return cause
}

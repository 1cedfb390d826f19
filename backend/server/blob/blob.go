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
	// busy holds, per part being uploaded, a channel that is closed when the
	// upload has ended.
	busy map[string]chan struct{}
	// settling is held while a complete part becomes the file.
	settling sync.Mutex
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

// Received tells how many bytes of a file have arrived from an uploader, and
// whether all of it is there, whoever brought it.
func (f *Folder) Received(sha, by string) (received int64, done bool) {
	if check(sha) != nil {
		return 0, false
	}
	if info, err := os.Stat(f.path(sha)); err == nil {
		return info.Size(), true
	}
	if info, err := os.Stat(f.part(partName(sha, by))); err == nil {
		return info.Size(), false
	}
	return 0, false
}

// Put takes the piece of a file that begins at offset; the file has total
// bytes. It tells how much has been received from the beginning, and whether
// the file is complete; a piece that would leave a hole is not read.
//
// by names the uploader, as the caller likes. Each has a part of their own:
// nobody can hold up or spoil another's upload of the same file. Of one
// uploader one upload of a file runs at a time, another waits for it.
//
// Content that does not hash to the name is thrown away: chat.CodeInvalid,
// with ErrMismatch. More bytes than total: chat.CodeTooLarge. If r fails, what
// came before stays and the next piece may go on from there.
func (f *Folder) Put(ctx context.Context, sha, by string, r io.Reader, offset, total int64) (received int64, done bool, err error) {
	if err := check(sha); err != nil {
		return 0, false, err
	}
	if offset < 0 || total < 0 || offset > total {
		return 0, false, chat.Invalid("content_range", "The range of the piece is not inside the file.")
	}
	part := partName(sha, by)
	release, err := f.acquire(ctx, part)
	if err != nil {
		return 0, false, err
	}
	defer release()
	if received, done = f.Received(sha, by); done || offset > received {
		return received, done, nil
	}
	return f.receive(ctx, sha, part, r, offset, total)
}

// acquire makes the caller the only one who writes the part.
func (f *Folder) acquire(ctx context.Context, part string) (release func(), err error) {
	mine := make(chan struct{})
	for {
		f.mu.Lock()
		other := f.busy[part]
		if other == nil {
			f.busy[part] = mine
			f.mu.Unlock()
			return func() {
				f.mu.Lock()
				delete(f.busy, part)
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

func (f *Folder) receive(ctx context.Context, sha, part string, r io.Reader, offset, total int64) (received int64, done bool, err error) {
	file, err := os.OpenFile(f.part(part), os.O_CREATE|os.O_RDWR, 0o600)
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
			problem("receive file", os.Remove(f.part(part))))
	}
	if err := f.verify(file, sha); err != nil {
		return 0, false, errors.Join(err, problem("receive file", os.Remove(f.part(part))))
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		file = nil
		return received, false, problem("receive file", err)
	}
	file = nil
	return received, true, f.settle(sha, part)
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

// settle gives a complete file its name, durably. Two uploaders may have
// brought the same file: the second one's is not needed.
func (f *Folder) settle(sha, part string) error {
	f.settling.Lock()
	defer f.settling.Unlock()
	path := f.path(sha)
	if _, err := os.Stat(path); err == nil {
		return problem("keep file", os.Remove(f.part(part)))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return problem("keep file", err)
	}
	if err := os.Rename(f.part(part), path); err != nil {
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

func (f *Folder) uploading(part string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.busy[part] != nil
}

// path spreads files over 256 folders.
func (f *Folder) path(sha string) string { return filepath.Join(f.dir, sha[:2], sha) }

func (f *Folder) part(name string) string { return filepath.Join(f.dir, "part", name) }

// partName is what one uploader has brought of a file. The uploader stands in
// it as a hash: whatever the caller calls them, it is no path.
func partName(sha, by string) string {
	sum := sha256.Sum256([]byte(by))
	return sha + "-" + hex.EncodeToString(sum[:16])
}

// check makes sure that a name is a hash, and therefore no path.
func check(sha string) error {
	if chat.IsSHA256(sha) {
		return nil
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

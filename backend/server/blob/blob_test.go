package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"parley/backend/chat"
)

func folder(t *testing.T) *Folder {
	t.Helper()
	f, err := Open(filepath.Join(t.TempDir(), "files"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func name(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// put sends a piece and checks the answer.
func put(t *testing.T, f *Folder, sha string, piece []byte, offset, total, received int64, done bool) {
	t.Helper()
	n, ok, err := f.Put(t.Context(), sha, "ana", bytes.NewReader(piece), offset, total)
	if err != nil || n != received || ok != done {
		t.Fatalf("piece at %d: received %d, done %v, %v; want %d, %v", offset, n, ok, err, received, done)
	}
}

func read(t *testing.T, f *Folder, sha string) []byte {
	t.Helper()
	r, size, err := f.Open(sha)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || int64(len(data)) != size {
		t.Fatalf("%d bytes of %d, %v", len(data), size, err)
	}
	return data
}

func TestPutAtOnceAndInPieces(t *testing.T) {
	f := folder(t)
	content := bytes.Repeat([]byte("0123456789"), 1000)
	sha, total := name(content), int64(10_000)
	if f.Has(sha) {
		t.Error("has it before it came")
	}
	_, _, err := f.Open(sha)
	if chat.ErrorCode(err) != chat.CodeNotFound {
		t.Errorf("opened before it came: %v", err)
	}
	put(t, f, sha, content[:4000], 0, total, 4000, false)
	if f.Has(sha) {
		t.Error("has it before it was complete")
	}
	put(t, f, sha, content[6000:], 6000, total, 4000, false)     // a hole: not taken
	put(t, f, sha, content[3000:7000], 3000, total, 7000, false) // a piece again
	if n, done := f.Received(sha, "ana"); n != 7000 || done {
		t.Errorf("received %d, %v", n, done)
	}
	put(t, f, sha, content[7000:], 7000, total, 10_000, true)
	put(t, f, sha, nil, 0, total, 10_000, true) // again: there already
	if !f.Has(sha) || !bytes.Equal(read(t, f, sha), content) {
		t.Error("the file is not what was sent")
	}
	put(t, f, name(nil), nil, 0, 0, 0, true)
	if !f.Has(name(nil)) {
		t.Error("an empty file is a file")
	}
	left, err := os.ReadDir(filepath.Join(f.dir, "part"))
	if err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestPutRefuses(t *testing.T) {
	f := folder(t)
	content := []byte("content")
	sha := name(content)
	_, _, err := f.Put(t.Context(), sha, "ana", strings.NewReader("another"), 0, 7)
	if !errors.Is(err, ErrMismatch) || chat.ErrorCode(err) != chat.CodeInvalid {
		t.Errorf("wrong content: %v", err)
	}
	if n, done := f.Received(sha, "ana"); n != 0 || done {
		t.Errorf("wrong content was kept: %d, %v", n, done)
	}
	_, _, err = f.Put(t.Context(), sha, "ana", strings.NewReader("content and more"), 0, 7)
	if chat.ErrorCode(err) != chat.CodeTooLarge {
		t.Errorf("too much: %v", err)
	}
	for _, bad := range []string{"", "../../etc/passwd", strings.Repeat("g", 64), strings.ToUpper(sha), sha + "0", "../" + sha[3:]} {
		if _, _, err := f.Put(t.Context(), bad, "ana", bytes.NewReader(content), 0, 7); chat.ErrorCode(err) != chat.CodeInvalid {
			t.Errorf("put %q: %v", bad, err)
		}
		if _, _, err := f.Open(bad); chat.ErrorCode(err) != chat.CodeInvalid || f.Has(bad) {
			t.Errorf("open %q: %v", bad, err)
		}
	}
	for _, x := range [][2]int64{{-1, 7}, {8, 7}, {0, -1}} {
		if _, _, err := f.Put(t.Context(), sha, "ana", bytes.NewReader(content), x[0], x[1]); chat.ErrorCode(err) != chat.CodeInvalid {
			t.Errorf("range %v: %v", x, err)
		}
	}
	put(t, f, sha, content, 0, 7, 7, true)
}

func TestPutAfterABreak(t *testing.T) {
	f := folder(t)
	content := bytes.Repeat([]byte("x"), 100_000)
	sha := name(content)
	broken := errors.New("connection lost")
	r := io.MultiReader(bytes.NewReader(content[:60_000]), iotest.ErrReader(broken))
	n, done, err := f.Put(t.Context(), sha, "ana", r, 0, 100_000)
	if !errors.Is(err, broken) || done || n != 60_000 {
		t.Fatalf("received %d, %v, %v", n, done, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := f.Put(ctx, sha, "ana", bytes.NewReader(content[60_000:]), 60_000, 100_000); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	again, err := Open(f.dir) // another process, later
	if err != nil {
		t.Fatal(err)
	}
	put(t, again, sha, content[60_000:], 60_000, 100_000, 100_000, true)
}

func TestUploadsOfOneFileFollowEachOther(t *testing.T) {
	f := folder(t)
	content := bytes.Repeat([]byte("y"), 1<<20)
	sha := name(content)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, done, err := f.Put(t.Context(), sha, "ana", bytes.NewReader(content), 0, 1<<20); err != nil || !done {
				t.Errorf("done %v, %v", done, err)
			}
		})
	}
	wg.Wait()
	if !bytes.Equal(read(t, f, sha), content) {
		t.Error("the file is not what was sent")
	}

	slow, feed := io.Pipe()
	other := name([]byte("slow"))
	first := make(chan error, 1)
	go func() {
		_, _, err := f.Put(t.Context(), other, "ana", slow, 0, 4)
		first <- err
	}()
	if _, err := feed.Write([]byte("sl")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, _, err := f.Put(ctx, other, "ana", strings.NewReader("slow"), 0, 4); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second upload did not wait: %v", err)
	}
	if _, err := f.Sweep(time.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	if _, err := feed.Write([]byte("ow")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(feed.Close(), <-first); err != nil || !f.Has(other) {
		t.Errorf("the slow upload: %v", err)
	}
}

// TestUploadersDoNotMeet: who stalls, sends rubbish or begins anew does so in a
// part of their own; whoever is first makes the file for all.
func TestUploadersDoNotMeet(t *testing.T) {
	f := folder(t)
	content := []byte("the same file")
	sha, total := name(content), int64(13)
	put(t, f, sha, content[:6], 0, total, 6, false) // Ana's half
	stalled, feed := io.Pipe()
	eve := make(chan error, 1)
	go func() {
		_, _, err := f.Put(t.Context(), sha, "../eve", stalled, 0, total)
		eve <- err
	}()
	if _, err := feed.Write([]byte("rubb")); err != nil {
		t.Fatal(err)
	}
	if n, done := f.Received(sha, "ana"); n != 6 || done {
		t.Fatalf("Ana's part has %d bytes, %v", n, done)
	}
	put(t, f, sha, content[6:], 6, total, total, true) // while Eve holds hers
	if _, err := feed.Write([]byte("ish of 13")); err != nil {
		t.Fatal(err)
	}
	_ = feed.Close()
	if err := <-eve; !errors.Is(err, ErrMismatch) {
		t.Errorf("rubbish: %v", err)
	}
	if n, done := f.Received(sha, "bo"); n != total || !done || !bytes.Equal(read(t, f, sha), content) {
		t.Errorf("the file: %d, %v", n, done)
	}

	// Two at the same time, both right: the second one's is not needed.
	other := []byte("another one")
	var wg sync.WaitGroup
	for _, by := range []string{"ana", "bo", "cy", "di"} {
		wg.Go(func() {
			if _, done, err := f.Put(t.Context(), name(other), by, iotest.OneByteReader(bytes.NewReader(other)), 0, 11); err != nil || !done {
				t.Errorf("%s: %v, %v", by, done, err)
			}
		})
	}
	wg.Wait()
	left, err := os.ReadDir(filepath.Join(f.dir, "part"))
	if err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestSweep(t *testing.T) {
	f := folder(t)
	content := []byte("half an upload")
	put(t, f, name(content), content[:4], 0, int64(len(content)), 4, false)
	if n, err := f.Sweep(time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("swept %d fresh ones, %v", n, err)
	}
	if n, err := f.Sweep(time.Now().Add(time.Hour)); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if n, _ := f.Received(name(content), "ana"); n != 0 {
		t.Errorf("%d bytes are still there", n)
	}
}

func TestOpenWhereNoFolderCanBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(file, "below")); chat.ErrorCode(err) != chat.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}

package desktop

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
)

func TestFilesAreServedHarmlessly(t *testing.T) {
	for name, test := range map[string]struct {
		content, kind, disposition string
	}{
		"picture":        {"\x89PNG\r\n\x1a\n0000", "image/png", "inline"},
		"sound":          {"OggS\x00\x02", "application/ogg", "inline"},
		"page":           {"<!DOCTYPE html><script>alert(1)</script>", "text/html; charset=utf-8", "attachment"},
		"vector picture": {`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script/></svg>`, "text/xml; charset=utf-8", "attachment"},
		"document":       {"%PDF-1.7", "application/pdf", "attachment"},
		"text":           {"hello", "text/plain; charset=utf-8", "attachment"},
		"nothing":        {"", "text/plain; charset=utf-8", "attachment"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "content")
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			serveFile(w, httptest.NewRequest(http.MethodGet, "/files/x", nil), path, "a \"name\"\r\nX: y.png")
			h := w.Header()
			if w.Code != http.StatusOK || w.Body.String() != test.content {
				t.Fatalf("%d %q", w.Code, w.Body)
			}
			if h.Get("Content-Type") != test.kind || !strings.HasPrefix(h.Get("Content-Disposition"), test.disposition) {
				t.Fatalf("served as %s, %s", h.Get("Content-Type"), h.Get("Content-Disposition"))
			}
			if h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
				t.Fatalf("headers %v", h)
			}
		})
	}
}

func TestFilesKnowOnlyHashes(t *testing.T) {
	e := Unusable(os.ErrPermission, Options{Data: t.TempDir(), Window: &ear{}})
	for _, path := range []string{"/files/", "/files/..%2f..%2fetc%2fpasswd", "/files/" + strings.Repeat("A", 64), "/files/" + strings.Repeat("a", 63), "/other"} {
		w := httptest.NewRecorder()
		e.Files().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusNotFound {
			t.Fatalf("%s answers %d", path, w.Code)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFilesGoWithTheRightToSeeThem: also if the program is killed between the
// write that says so and the files, and whatever a killed download has left.
func TestFilesGoWithTheRightToSeeThem(t *testing.T) {
	dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
	e := openWith(t, dir, ring)
	join(t, e, nowhere)
	kept, lost := chat.NewID[chat.Brand](), chat.NewID[chat.Brand]()
	access := func(brands ...chat.BrandID) cache.Applied {
		t.Helper()
		s := current(t, e)
		position, _ := s.cache.Position()
		applied, err := s.cache.Apply(t.Context(), position, position+1, []chat.Change{{Seq: position + 1, Kind: chat.EntityAccess, ID: s.me.String(),
			Op: chat.OpPut, Data: encode(t, chat.Access{Brands: brands})}})
		if err != nil {
			t.Fatal(err)
		}
		return applied
	}
	folder := filepath.Join(current(t, e).filesFolder(), "ab")
	store := func(name string, age time.Duration) string {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("passport"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Now().Add(-age), time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	reopen := func() {
		t.Helper()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = openWith(t, dir, ring)
		current(t, e)
	}

	current(t, e).changed(access(kept))
	path := store("abcdef", 0)
	current(t, e).changed(access(kept, lost)) // more than before
	reopen()
	if !there(path) {
		t.Fatal("a file is gone although nothing was taken away")
	}
	access(kept) // and killed before anybody heard of it
	reopen()
	if there(path) {
		t.Error("the file is there after a crash")
	}
	path = store("abcdef", 0)
	current(t, e).changed(access(lost))
	if there(path) {
		t.Error("the file is there")
	}

	path, part, young := store("abcdef", time.Hour), store(".part-1", time.Hour), store(".part-2", -time.Hour)
	reopen()
	until(t, "the part of a file to go", func() bool { return !there(part) })
	if !there(path) || !there(young) {
		t.Error("a file is gone with the part of another")
	}
}

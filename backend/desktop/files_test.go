package desktop

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
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

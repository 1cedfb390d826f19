package desktop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"parley/backend/chat"
)

var shaPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// downloadTimeout bounds fetching one file.
const downloadTimeout = 10 * time.Minute

// Files serves /files/{sha256}?name=…: content that customers and colleagues
// have sent, from this device if it is here, else fetched from the server
// first. What it serves can never act as a page of ours.
func (e *Engine) Files() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sha := strings.TrimPrefix(r.URL.Path, "/files/")
		if !shaPattern.MatchString(sha) || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
			http.NotFound(w, r)
			return
		}
		s, err := e.session()
		if err != nil {
			http.Error(w, chat.ErrorMessage(err), http.StatusUnauthorized)
			return
		}
		path, err := s.file(sha)
		if err != nil {
			e.log.Warn("serve file", "sha256", sha, "error", err)
			status := http.StatusBadGateway
			if chat.ErrorCode(err) == chat.CodeNotFound {
				status = http.StatusNotFound
			}
			http.Error(w, chat.ErrorMessage(err), status)
			return
		}
		serveFile(w, r, path, r.URL.Query().Get("name"))
	})
}

// SaveFile copies a file to a place that the person chose.
func (e *Engine) SaveFile(sha256, path string) error {
	s, err := e.session()
	if err != nil {
		return err
	}
	if !shaPattern.MatchString(sha256) {
		return chat.Invalid("sha256", "This is not the name of a file.")
	}
	from, err := s.file(sha256)
	if err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("save file: %w", err)
	}
	defer in.Close()
	if err := writeFile(path, func(w io.Writer) error { _, err := io.Copy(w, in); return err }); err != nil {
		return &chat.Error{Code: chat.CodeUnavailable, Message: "The file could not be saved there.", Cause: err}
	}
	return nil
}

// filesFolder is where an account's folder keeps the contents of files.
const filesFolder = "files"

func (s *session) filesFolder() string { return filepath.Join(s.e.folder(s.account.ID), filesFolder) }

// forgetFiles removes the contents of all files once the member may see less:
// they do not say to which brand they belong, and what is still allowed is
// fetched again. What does not succeed, or a crash prevents, is done again after
// the next write or at the next opening.
func (s *session) forgetFiles() {
	n, owed := s.cache.FilesOwed()
	if !owed {
		return
	}
	err := os.RemoveAll(s.filesFolder())
	if err == nil {
		err = s.cache.FilesGone(context.WithoutCancel(s.ctx), n)
	}
	if err != nil {
		s.e.log.Warn("forget files", "error", err)
	}
}

// partPrefix begins the name of what is still being written.
const partPrefix = ".part-"

// forgetParts removes what downloads have left that were killed: nobody knows
// whose it was, and nothing counts or prunes it.
func (s *session) forgetParts() {
	left, err := fs.Glob(os.DirFS(s.filesFolder()), "*/"+partPrefix+"*")
	for _, name := range left {
		path := filepath.Join(s.filesFolder(), filepath.FromSlash(name))
		info, statErr := os.Stat(path)
		if statErr == nil && info.ModTime().Before(s.begun.Add(-time.Second)) { // else it is of this session
			err = errors.Join(err, os.Remove(path))
		}
	}
	if err != nil {
		s.e.log.Warn("forget parts of files", "error", err)
	}
}

// file gives the path of a file's content on this device, fetching it if need
// be. Several who want the same file share one download.
func (s *session) file(sha string) (string, error) {
	path := filepath.Join(s.filesFolder(), sha[:2], sha)
	if info, err := os.Stat(path); err == nil {
		if err := touch(path, info); err != nil {
			s.e.log.Warn("note that a file is used", "error", err)
		}
		return path, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look for file: %w", err)
	}
	_, err, _ := s.e.downloads.Do(s.account.ID+sha, func() (any, error) {
		n := s.net.Load()
		if n == nil {
			return nil, chat.Errorf(chat.CodeUnavailable, "This file is not on this device yet, and the server cannot be reached.")
		}
		ctx, cancel := context.WithTimeout(s.ctx, downloadTimeout)
		defer cancel()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("keep file: %w", err)
		}
		return nil, writeFile(path, func(w io.Writer) error { return n.client.File(ctx, sha, w) })
	})
	if err != nil {
		return "", err
	}
	return path, nil
}

// writeFile makes a file appear whole or not at all.
func writeFile(path string, write func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), partPrefix+"*")
	if err != nil {
		return fmt.Errorf("make file: %w", err)
	}
	err = write(tmp)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return errors.Join(fmt.Errorf("keep file: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}

// serveFile answers with the content of a file. Only pictures, sound and video
// are shown in place; everything else is a download. The type is found in the
// bytes, not believed.
func serveFile(w http.ResponseWriter, r *http.Request, path, name string) {
	f, err := os.Open(path)
	if err != nil {
		http.Error(w, "The file cannot be read.", http.StatusInternalServerError)
		return
	}
	defer f.Close()
	start := make([]byte, 512)
	n, err := io.ReadFull(f, start)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		http.Error(w, "The file cannot be read.", http.StatusInternalServerError)
		return
	}
	kind := http.DetectContentType(start[:n])
	disposition := "attachment"
	if inline(kind) {
		disposition = "inline"
	}
	if name == "" {
		name = "file"
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	if d := mime.FormatMediaType(disposition, map[string]string{"filename": filepath.Base(name)}); d != "" {
		disposition = d
	}
	h.Set("Content-Disposition", disposition)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, f)
}

// inline reports whether content of a type may be shown in place. SVG, which
// may hold scripts, is not found as a picture and so is a download.
func inline(kind string) bool {
	return strings.HasPrefix(kind, "image/") || strings.HasPrefix(kind, "audio/") || strings.HasPrefix(kind, "video/") ||
		kind == "application/ogg"
}

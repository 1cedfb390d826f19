package web

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/inbox"
)

const maxFilename = 255

func isSHA256(s string) bool {
	if len(s) != 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// baseName is the last element of a name, for names that arrive with a path.
func baseName(name string) string {
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	if name == "." || name == "/" || name == ".." {
		return ""
	}
	return name
}

// sha256Of gives the name in the address, which is all there is to ask for.
func sha256Of(r *http.Request) (string, error) {
	sha := r.PathValue("sha256")
	if !isSHA256(sha) {
		return "", chat.Invalid("sha256", "A file is named by the SHA-256 of its content, 64 hex digits.")
	}
	return sha, nil
}

// headFile tells whether a file need not be sent any more.
func (c *Channel) headFile(w http.ResponseWriter, r *http.Request) error {
	v, err := c.visitor(w, r)
	if err != nil {
		return err
	}
	if err := c.limits.reads.take(string(v.TokenHash), 1); err != nil {
		return err
	}
	sha, err := sha256Of(r)
	if err != nil {
		return err
	}
	has, err := c.inbox.HasFile(r.Context(), v, sha)
	if err != nil {
		return err
	}
	if !has {
		return chat.Errorf(chat.CodeNotFound, "The server does not have this file.")
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// putFile takes a file, whole or in pieces. What is too large is refused
// before its body is read.
func (c *Channel) putFile(w http.ResponseWriter, r *http.Request) error {
	v, err := c.visitor(w, r)
	if err != nil {
		return err
	}
	up, err := decodeUpload(r)
	if err != nil {
		return err
	}
	settings, err := c.inbox.Settings(r.Context(), v.Workspace)
	if err != nil {
		return err
	}
	if up.Total > settings.MaxFileBytes {
		return chat.Errorf(chat.CodeTooLarge, "The file is larger than the %d MB that may be sent here.", settings.MaxFileBytes>>20)
	}
	if err := c.limits.uploads.take(string(v.TokenHash), 1); err != nil {
		return err
	}
	if err := c.limits.bytes.take(string(v.TokenHash), int(up.Length)); err != nil {
		return err
	}
	up.Body = http.MaxBytesReader(w, r.Body, up.Length)
	received, done, err := c.inbox.PutFile(r.Context(), v, up)
	if err != nil {
		return err
	}
	if !done {
		if received > 0 {
			w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", received-1))
		}
		w.WriteHeader(http.StatusPermanentRedirect)
		return nil
	}
	return writeJSON(w, http.StatusCreated, protocol.VisitorFile{SHA256: up.SHA256, Name: up.Name})
}

// decodeUpload reads everything about an upload but its body.
func decodeUpload(r *http.Request) (inbox.Upload, error) {
	up := inbox.Upload{Length: r.ContentLength, Total: r.ContentLength}
	sha, err := sha256Of(r)
	if err != nil {
		return up, err
	}
	up.SHA256 = sha
	name := r.Header.Get("X-Filename")
	if plain, err := url.PathUnescape(name); err == nil {
		name = plain
	}
	if err := checkLine("X-Filename", name, maxFilename); err != nil {
		return up, err
	}
	up.Name = baseName(name)
	if r.ContentLength < 0 {
		return up, chat.Invalid("Content-Length", "The size of the file must be known before it is sent.")
	}
	if s := r.Header.Get("Content-Range"); s != "" {
		last := int64(0)
		up.Offset, last, up.Total, err = parseContentRange(s)
		if err != nil || last-up.Offset+1 != up.Length {
			return up, chat.Invalid("Content-Range", "bytes FIRST-LAST/TOTAL is wanted, with FIRST-LAST as long as the body.")
		}
	}
	return up, nil
}

// parseContentRange reads "bytes FIRST-LAST/TOTAL".
func parseContentRange(s string) (first, last, total int64, err error) {
	bad := fmt.Errorf("bad range %q", clip(s, 64))
	rest, ok := strings.CutPrefix(s, "bytes ")
	span, all, ok2 := strings.Cut(rest, "/")
	a, b, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, 0, bad
	}
	for _, f := range []struct {
		text string
		to   *int64
	}{{a, &first}, {b, &last}, {all, &total}} {
		n, err := strconv.ParseUint(f.text, 10, 53)
		if err != nil {
			return 0, 0, 0, bad
		}
		*f.to = int64(n)
	}
	if first > last || last >= total {
		return 0, 0, 0, bad
	}
	return first, last, total, nil
}

// shown are the types a browser may show in place. Everything else is saved:
// the bytes come from strangers.
func shown(mediaType string) bool {
	switch mediaType {
	case "image/png", "image/jpeg", "image/gif", "image/webp", "image/avif",
		"audio/mpeg", "audio/mp4", "audio/ogg", "audio/wav", "audio/wave", "audio/webm", "audio/aac",
		"video/mp4", "video/webm", "video/ogg":
		return true
	}
	return false
}

// getFile gives a file of the visitor's own conversation.
func (c *Channel) getFile(w http.ResponseWriter, r *http.Request) error {
	v, err := c.visitor(w, r)
	if err != nil {
		return err
	}
	if err := c.limits.reads.take(string(v.TokenHash), 1); err != nil {
		return err
	}
	sha, err := sha256Of(r)
	if err != nil {
		return err
	}
	f, body, err := c.inbox.OpenFile(r.Context(), v, sha)
	if err != nil {
		return err
	}
	defer body.Close()
	kind, _, err := mime.ParseMediaType(f.Type)
	disposition := "inline"
	if err != nil || !shown(kind) {
		kind, disposition = "application/octet-stream", "attachment"
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	if d := mime.FormatMediaType(disposition, map[string]string{"filename": f.Name}); d != "" && f.Name != "" {
		disposition = d
	}
	h.Set("Content-Disposition", disposition)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-site")
	h.Set("Cache-Control", "private, max-age=86400, immutable")
	h.Set("ETag", `"`+sha+`"`)
	http.ServeContent(w, r, "", time.Time{}, body)
	return nil
}

package web

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/body"
	"parley/backend/server/inbox"
)

// sha256Of gives the name in the address, which is all there is to ask for.
func sha256Of(r *http.Request) (string, error) {
	sha := r.PathValue("sha256")
	if !chat.IsSHA256(sha) {
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
	up, asks, err := decodeUpload(r)
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
	if asks {
		return c.progress(w, r, v, up)
	}
	if err := c.limits.bytes.take(string(v.TokenHash), int(up.Length)); err != nil {
		return err
	}
	if err := c.limits.addressBytes.take(c.address(r), int(up.Length)); err != nil {
		return err
	}
	if b, ok := r.Body.(*body.Body); ok {
		b.Steady() // a large file may take long, as long as it comes
	}
	up.Body = http.MaxBytesReader(w, r.Body, up.Length)
	received, done, err := c.inbox.PutFile(r.Context(), v, up)
	if err != nil {
		return err
	}
	if !done {
		return resume(w, received)
	}
	return writeJSON(w, http.StatusCreated, protocol.VisitorFile{SHA256: up.SHA256, Name: up.Name})
}

// progress answers "Content-Range: bytes */TOTAL": how far the file has got.
func (c *Channel) progress(w http.ResponseWriter, r *http.Request, v inbox.Visitor, up inbox.Upload) error {
	has, err := c.inbox.HasFile(r.Context(), v, up.SHA256)
	if err != nil {
		return err
	}
	if has {
		return writeJSON(w, http.StatusCreated, protocol.VisitorFile{SHA256: up.SHA256, Name: up.Name})
	}
	received, err := c.inbox.FileReceived(r.Context(), v, up.SHA256)
	if err != nil {
		return err
	}
	return resume(w, received)
}

// resume says how far an upload has got.
func resume(w http.ResponseWriter, received int64) error {
	if received > 0 {
		w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", received-1))
	}
	w.WriteHeader(http.StatusPermanentRedirect)
	return nil
}

// decodeUpload reads everything about an upload but its body. asks is set when
// only the progress is wanted.
func decodeUpload(r *http.Request) (up inbox.Upload, asks bool, err error) {
	up = inbox.Upload{Length: r.ContentLength, Total: r.ContentLength}
	sha, err := sha256Of(r)
	if err != nil {
		return up, false, err
	}
	up.SHA256 = sha
	name := r.Header.Get("X-Filename")
	if plain, err := url.PathUnescape(name); err == nil {
		name = plain
	}
	if err := chat.CheckText("X-Filename", name, chat.MaxTextBytes); err != nil {
		return up, false, err
	}
	up.Name = chat.FileName(name)
	if r.ContentLength < 0 {
		return up, false, chat.Invalid("Content-Length", "The size of the file must be known before it is sent.")
	}
	if s := r.Header.Get("Content-Range"); s != "" {
		piece, err := protocol.ParseContentRange(s, r.ContentLength)
		if err != nil {
			return up, false, err
		}
		up.Offset, up.Total, asks = piece.First, piece.Total, piece.Asks
	}
	return up, asks, nil
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
	f, content, err := c.inbox.OpenFile(r.Context(), v, sha)
	if err != nil {
		return err
	}
	defer content.Close()
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
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}

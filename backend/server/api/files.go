package api

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/body"
	"parley/backend/server/inbox"
)

func (a *API) headFile(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	f, err := a.inbox.File(r.Context(), who, r.PathValue("sha256"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", f.Type)
	w.Header().Set("Content-Length", strconv.FormatInt(f.Size, 10))
	w.WriteHeader(http.StatusOK)
	return nil
}

// putFile takes a file, whole or one piece of it. The answer to a piece that
// is not the last, or does not join on to what is there, is 308 with how far
// it got.
func (a *API) putFile(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	up, asks, err := upload(r)
	if err != nil {
		return err
	}
	if err := a.inbox.CheckUpload(r.Context(), who.Workspace, up); err != nil {
		return err
	}
	if sent, ok := r.Body.(*body.Body); ok {
		sent.Steady()
	}
	f, err := a.inbox.File(r.Context(), who, up.SHA256)
	switch {
	case err == nil: // they have it already; take what is sent, so that the sender can read the answer
		if _, err := io.Copy(io.Discard, io.LimitReader(r.Body, up.Length)); err != nil {
			return brokeOff(err)
		}
		return answer(w, http.StatusCreated, f)
	case chat.ErrorCode(err) != chat.CodeNotFound:
		return err
	}
	if asks {
		received, err := a.inbox.Received(r.Context(), who, up.SHA256)
		if err != nil {
			return err
		}
		return resume(w, received)
	}
	up.Body = http.MaxBytesReader(w, r.Body, up.Length)
	received, done, err := a.inbox.StoreFile(r.Context(), who, up)
	if err != nil {
		return err
	}
	if !done {
		return resume(w, received)
	}
	if f, err = a.inbox.File(r.Context(), who, up.SHA256); err != nil {
		return err
	}
	return answer(w, http.StatusCreated, f)
}

func brokeOff(err error) error {
	return &chat.Error{Code: chat.CodeInvalid, Message: "The upload broke off.", Cause: err}
}

// resume says how far an upload has got.
func resume(w http.ResponseWriter, received int64) error {
	if received > 0 {
		w.Header().Set("Range", "bytes=0-"+strconv.FormatInt(received-1, 10))
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusPermanentRedirect)
	return nil
}

// upload reads from the headers what is coming. asks is set when only the
// progress is wanted ("Content-Range: bytes */100").
func upload(r *http.Request) (up inbox.Upload, asks bool, err error) {
	up = inbox.Upload{SHA256: r.PathValue("sha256"), Length: r.ContentLength, Total: r.ContentLength}
	if name := r.Header.Get("X-Filename"); name != "" {
		if up.Name, err = url.PathUnescape(name); err != nil {
			up.Name = name
		}
	}
	if r.ContentLength < 0 {
		return up, false, chat.Invalid("Content-Length", "The length of the file must be known before it is sent.")
	}
	header := r.Header.Get("Content-Range")
	if header == "" {
		return up, false, nil
	}
	piece, err := protocol.ParseContentRange(header, r.ContentLength)
	if err != nil {
		return up, false, err
	}
	up.Offset, up.Total = piece.First, piece.Total
	return up, piece.Asks, nil
}

// getFile gives a file away such that nothing in it can run: the type is the
// one that was sniffed, scripts and frames are switched off, and only pictures
// and sound are shown in place.
func (a *API) getFile(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	f, content, err := a.inbox.OpenContent(r.Context(), who, r.PathValue("sha256"))
	if err != nil {
		return err
	}
	defer content.Close()
	name := f.Name
	if wanted := query(r).text("name"); wanted != "" {
		name = wanted
	}
	h := w.Header()
	h.Set("Content-Type", f.Type)
	h.Set("Content-Disposition", disposition(f.Type, name))
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; img-src 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	h.Set("ETag", `"`+f.SHA256+`"`)
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}

// disposition shows harmless media in place and has everything else saved.
func disposition(kind, name string) string {
	how := "attachment"
	switch {
	case strings.HasPrefix(kind, "audio/"), kind == "video/mp4", kind == "video/webm",
		kind == "image/png", kind == "image/jpeg", kind == "image/gif", kind == "image/webp":
		how = "inline"
	}
	if s := mime.FormatMediaType(how, map[string]string{"filename": name}); s != "" {
		return s
	}
	return how
}

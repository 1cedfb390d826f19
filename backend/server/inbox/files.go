package inbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"

	"parley/backend/chat"
	"parley/backend/server/store"
)

// sniffLen is how much of a file is looked at to tell its type.
const sniffLen = 4096

// File finds a file of the workspace.
func (in *Inbox) File(ctx context.Context, ws chat.WorkspaceID, sha256 string) (chat.File, error) {
	f, err := in.store.File(ctx, ws, sha256)
	if isNotFound(err) {
		err = notFound("file")
	}
	return f, err
}

// Received tells how far an upload has got.
func (in *Inbox) Received(ws chat.WorkspaceID, sha256 string) (int64, error) {
	blobs, err := in.blobs(ws)
	if err != nil {
		return 0, err
	}
	n, _ := blobs.Received(sha256)
	return n, nil
}

// CheckUpload refuses a file before any of it is read.
func (in *Inbox) CheckUpload(ctx context.Context, ws chat.WorkspaceID, up Upload) error {
	if !isSHA256(up.SHA256) {
		return chat.Invalid("sha256", "A file is named by the SHA-256 of its content, 64 lower-case hex digits.")
	}
	if up.Total < 1 || up.Offset < 0 || up.Length < 0 || up.Offset+up.Length > up.Total {
		return chat.Invalid("Content-Range", "The piece does not lie within the file.")
	}
	settings, err := in.Settings(ctx, ws)
	if err != nil {
		return err
	}
	if up.Total > settings.MaxFileBytes {
		return chat.Errorf(chat.CodeTooLarge, "The file is larger than %d MB, the most this workspace allows.", settings.MaxFileBytes>>20)
	}
	return nil
}

// StoreFile stores a piece of a file. A file is the workspace's once its
// content has arrived whole and hashes to its name.
func (in *Inbox) StoreFile(ctx context.Context, ws chat.WorkspaceID, up Upload) (received int64, done bool, err error) {
	if err := in.CheckUpload(ctx, ws, up); err != nil {
		return 0, false, err
	}
	blobs, err := in.blobs(ws)
	if err != nil {
		return 0, false, err
	}
	received, done, err = blobs.Put(ctx, up.SHA256, io.LimitReader(up.Body, up.Length), up.Offset, up.Total)
	var wrong *chat.Error
	if errors.As(err, &wrong) && wrong.Field == "sha256" { // not the request's form but its content is at fault
		return received, false, &chat.Error{Code: chat.CodeUnsupported, Field: "sha256", Message: wrong.Message, Cause: err}
	}
	if err != nil || !done {
		return received, false, err
	}
	if _, err := in.store.File(ctx, ws, up.SHA256); err == nil || !isNotFound(err) {
		return received, err == nil, err
	}
	content, size, err := blobs.Open(up.SHA256)
	if err != nil {
		return received, false, fmt.Errorf("open file: %w", err)
	}
	defer content.Close()
	kind, err := sniff(content)
	if err != nil {
		return received, false, err
	}
	f := chat.File{SHA256: up.SHA256, Name: fileName(up.Name), Type: kind, Size: size}
	err = in.store.Update(ctx, ws, func(tx *store.Tx) error { return tx.PutFile(f) })
	if err != nil {
		return received, false, fmt.Errorf("note file: %w", err)
	}
	return received, true, nil
}

// OpenContent opens a file of the workspace. The caller closes it.
func (in *Inbox) OpenContent(ctx context.Context, ws chat.WorkspaceID, sha256 string) (chat.File, io.ReadSeekCloser, error) {
	f, err := in.File(ctx, ws, sha256)
	if err != nil {
		return f, nil, err
	}
	blobs, err := in.blobs(ws)
	if err != nil {
		return f, nil, err
	}
	content, _, err := blobs.Open(sha256)
	if err != nil {
		return f, nil, fmt.Errorf("open file: %w", err)
	}
	return f, content, nil
}

// HasFile implements Visitors.
func (in *Inbox) HasFile(ctx context.Context, v Visitor, sha256 string) (bool, error) {
	_, err := in.File(ctx, v.Workspace, sha256)
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// PutFile implements Visitors.
func (in *Inbox) PutFile(ctx context.Context, v Visitor, up Upload) (received int64, done bool, err error) {
	return in.StoreFile(ctx, v.Workspace, up)
}

// OpenFile implements Visitors.
func (in *Inbox) OpenFile(ctx context.Context, v Visitor, sha256 string) (chat.File, io.ReadSeekCloser, error) {
	conv, err := in.conversationOf(ctx, v)
	if err != nil {
		return chat.File{}, nil, err
	}
	if conv.IsZero() {
		return chat.File{}, nil, notFound("file")
	}
	key := conv.String() + sha256
	if _, ok := in.files.get(key); !ok {
		found, err := in.inThread(ctx, v.Workspace, conv, sha256)
		if err != nil {
			return chat.File{}, nil, err
		}
		if !found {
			return chat.File{}, nil, notFound("file")
		}
		in.files.put(key, true)
	}
	return in.OpenContent(ctx, v.Workspace, sha256)
}

// inThread looks for a file among what the visitor of a conversation may see.
func (in *Inbox) inThread(ctx context.Context, ws chat.WorkspaceID, conv chat.ConversationID, sha256 string) (bool, error) {
	for after := int64(0); ; {
		to, msgs, err := in.store.VisitorMessages(ctx, ws, conv, after, visitorPage)
		if err != nil {
			return false, err
		}
		for _, m := range msgs {
			for _, p := range m.Parts {
				if p.SHA256 == sha256 {
					return true, nil
				}
			}
		}
		if to <= after {
			return false, nil
		}
		after = to
	}
}

func isSHA256(s string) bool {
	if len(s) != 64 {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}

// fileName keeps the last element of a foreign name, without what no file
// system or header could carry.
func fileName(s string) string {
	s = cut(path.Base(strings.ReplaceAll(s, `\`, "/")), 200)
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if s == "" || s == "." || s == "/" || s == ".." {
		return "file"
	}
	return s
}

// sniff tells what content is from its first bytes.
func sniff(r io.Reader) (string, error) {
	head := make([]byte, sniffLen)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read file: %w", err)
	}
	head = head[:n]
	kind := http.DetectContentType(head)
	switch {
	case kind == "application/ogg" && bytes.Contains(head, []byte("OpusHead")),
		kind == "application/ogg" && bytes.Contains(head, []byte("\x01vorbis")) && !bytes.Contains(head, []byte("theora")):
		return "audio/ogg", nil
	case kind == "video/webm" && bytes.Contains(head, []byte("A_OPUS")) && !bytes.Contains(head, []byte("V_")):
		return "audio/webm", nil
	case len(head) > 12 && string(head[4:8]) == "ftyp" && strings.HasPrefix(string(head[8:12]), "M4A"):
		return "audio/mp4", nil
	}
	return kind, nil
}

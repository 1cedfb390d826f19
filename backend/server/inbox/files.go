package inbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"parley/backend/chat"
	"parley/backend/server/store"
)

// sniffLen is how much of a file is looked at to tell its type.
const sniffLen = 4096

// File finds a file that the member may have: it is in a conversation they
// see, or they brought it.
func (in *Inbox) File(ctx context.Context, p Principal, sha256 string) (chat.File, error) {
	if !chat.IsSHA256(sha256) {
		return chat.File{}, notAHash()
	}
	f, err := in.store.MemberFile(ctx, p.Workspace, p.View(), sha256)
	if err == nil {
		err = in.hasContent(p.Workspace, sha256)
	}
	if isNotFound(err) {
		err = notFound("file")
	}
	return f, err
}

func notAHash() error {
	return chat.Invalid("sha256", "A file is named by the SHA-256 of its content, 64 lower-case hex digits.")
}

// hasContent is not found for a file of which only the row is left: whoever
// has the content is to bring it again.
func (in *Inbox) hasContent(ws chat.WorkspaceID, sha256 string) error {
	blobs, err := in.blobs(ws)
	if err != nil {
		return err
	}
	if _, whole := blobs.Received(sha256, ""); !whole {
		return notFound("file")
	}
	return nil
}

// known is not found for a file that has no row, or a row without content.
func (in *Inbox) known(ctx context.Context, ws chat.WorkspaceID, sha256 string) error {
	if _, err := in.store.File(ctx, ws, sha256); err != nil {
		return err
	}
	return in.hasContent(ws, sha256)
}

// Received tells how far the member's upload of a file has got.
func (in *Inbox) Received(ctx context.Context, p Principal, sha256 string) (int64, error) {
	return in.received(ctx, p.Workspace, p.Member.ID.Bytes(), sha256)
}

func (in *Inbox) received(ctx context.Context, ws chat.WorkspaceID, by []byte, sha256 string) (int64, error) {
	if !chat.IsSHA256(sha256) {
		return 0, notAHash()
	}
	err := in.known(ctx, ws, sha256)
	if err == nil { // here, but not for this uploader yet
		n, _ := in.proofs.get(proofKey(ws, by, sha256))
		return n, nil
	}
	if !isNotFound(err) {
		return 0, err
	}
	blobs, err := in.blobs(ws)
	if err != nil {
		return 0, err
	}
	n, _ := blobs.Received(sha256, string(by))
	return n, nil
}

// CheckUpload refuses a file before any of it is read.
func (in *Inbox) CheckUpload(ctx context.Context, ws chat.WorkspaceID, up Upload) error {
	if !chat.IsSHA256(up.SHA256) {
		return notAHash()
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

// StoreFile stores a piece of a file that a member brings.
func (in *Inbox) StoreFile(ctx context.Context, p Principal, up Upload) (received int64, done bool, err error) {
	return in.storeFile(ctx, p.Workspace, p.Member.ID.Bytes(), up)
}

// storeFile stores a piece of a file. A file is the workspace's once its
// content has arrived whole and hashes to its name, and for whoever brought
// it. Who brings one that is here already has to bring it all the same: to
// know a file's name is not to have it.
func (in *Inbox) storeFile(ctx context.Context, ws chat.WorkspaceID, by []byte, up Upload) (received int64, done bool, err error) {
	if err := in.CheckUpload(ctx, ws, up); err != nil {
		return 0, false, err
	}
	blobs, err := in.blobs(ws)
	if err != nil {
		return 0, false, err
	}
	up.Body = io.LimitReader(up.Body, up.Length)
	switch err := in.known(ctx, ws, up.SHA256); {
	case err == nil:
		return in.prove(ctx, ws, blobs, by, up)
	case !isNotFound(err):
		return 0, false, err
	}
	body := &counted{r: up.Body}
	received, done, err = blobs.Put(ctx, up.SHA256, string(by), body, up.Offset, up.Total)
	var wrong *chat.Error
	if errors.As(err, &wrong) && wrong.Field == "sha256" { // not the request's form but its content is at fault
		return received, false, &chat.Error{Code: chat.CodeUnsupported, Field: "sha256", Message: wrong.Message, Cause: err}
	}
	if err != nil || !done {
		return received, false, err
	}
	if body.n == 0 { // somebody else was quicker
		return in.prove(ctx, ws, blobs, by, up)
	}
	if err := in.noteFile(ctx, ws, blobs, by, up); err != nil {
		return received, false, err
	}
	return received, true, nil
}

// noteFile writes down a file whose content is here, and who brought it.
func (in *Inbox) noteFile(ctx context.Context, ws chat.WorkspaceID, blobs Blobs, by []byte, up Upload) error {
	content, size, err := blobs.Open(up.SHA256)
	if err != nil {
		return fmt.Errorf("open file: %w", err)
	}
	defer content.Close()
	kind, err := sniff(content)
	if err != nil {
		return err
	}
	f := chat.File{SHA256: up.SHA256, Name: cmp.Or(chat.FileName(up.Name), "file"), Type: kind, Size: size}
	err = in.store.Update(ctx, ws, func(tx *store.Tx) error {
		if _, err := tx.File(f.SHA256); isNotFound(err) { // the first name stays
			if err := tx.PutFile(f); err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
		return tx.PutUpload(f.SHA256, by)
	})
	if err != nil {
		return fmt.Errorf("note file: %w", err)
	}
	return nil
}

// prove takes a piece of a file whose content is here already: it is compared
// instead of stored, and the file is the uploader's once all of it was right.
// How far somebody has come is only remembered for a while; who is forgotten
// begins again, as the answer tells them.
func (in *Inbox) prove(ctx context.Context, ws chat.WorkspaceID, blobs Blobs, by []byte, up Upload) (received int64, done bool, err error) {
	content, size, err := blobs.Open(up.SHA256)
	if err != nil {
		return 0, false, fmt.Errorf("open file: %w", err)
	}
	defer content.Close()
	key := proofKey(ws, by, up.SHA256)
	have, _ := in.proofs.get(key)
	if up.Offset > have {
		return have, false, nil
	}
	if _, err := content.Seek(up.Offset, io.SeekStart); err != nil {
		return have, false, fmt.Errorf("read file: %w", err)
	}
	n, same, err := compare(up.Body, content)
	if err != nil {
		return have, false, &chat.Error{Code: chat.CodeInvalid, Message: "The upload broke off.", Cause: err}
	}
	if !same || up.Total != size {
		in.proofs.drop(key)
		return 0, false, &chat.Error{Code: chat.CodeUnsupported, Field: "sha256", Message: "The content does not hash to its name."}
	}
	if have = max(have, up.Offset+n); have < size {
		in.proofs.put(key, have)
		return have, false, nil
	}
	in.proofs.drop(key)
	return size, true, in.noteFile(ctx, ws, blobs, by, up)
}

func proofKey(ws chat.WorkspaceID, by []byte, sha256 string) string {
	return ws.String() + string(by) + sha256
}

// compare reads r to its end and tells whether the content begins with it.
func compare(r, content io.Reader) (n int64, same bool, err error) {
	piece, other := make([]byte, 32<<10), make([]byte, 32<<10)
	same = true
	for {
		k, err := io.ReadFull(r, piece)
		if k > 0 && same {
			if m, _ := io.ReadFull(content, other[:k]); m < k || !bytes.Equal(piece[:k], other[:k]) {
				same = false // read on all the same: the sender waits until all is taken
			}
		}
		n += int64(k)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && k > 0 && k < len(piece):
			return n, same, nil
		case err != nil:
			return n, same, err
		}
	}
}

// counted tells whether anything was read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// OpenContent opens a file that the member may have. The caller closes it.
func (in *Inbox) OpenContent(ctx context.Context, p Principal, sha256 string) (chat.File, io.ReadSeekCloser, error) {
	f, err := in.File(ctx, p, sha256)
	if err != nil {
		return f, nil, err
	}
	return in.openContent(p.Workspace, f)
}

func (in *Inbox) openContent(ws chat.WorkspaceID, f chat.File) (chat.File, io.ReadSeekCloser, error) {
	blobs, err := in.blobs(ws)
	if err != nil {
		return f, nil, err
	}
	content, _, err := blobs.Open(f.SHA256)
	if err != nil {
		return f, nil, fmt.Errorf("open file: %w", err)
	}
	return f, content, nil
}

// HasFile implements Visitors.
func (in *Inbox) HasFile(ctx context.Context, v Visitor, sha256 string) (bool, error) {
	if !chat.IsSHA256(sha256) {
		return false, notAHash()
	}
	conv, err := in.conversationOf(ctx, v)
	if err != nil {
		return false, err
	}
	_, err = in.store.CustomerFile(ctx, v.Workspace, conv, v.Contact, sha256)
	if err == nil {
		err = in.hasContent(v.Workspace, sha256)
	}
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// PutFile implements Visitors.
func (in *Inbox) PutFile(ctx context.Context, v Visitor, up Upload) (received int64, done bool, err error) {
	return in.storeFile(ctx, v.Workspace, v.Contact.Bytes(), up)
}

// FileReceived implements Visitors.
func (in *Inbox) FileReceived(ctx context.Context, v Visitor, sha256 string) (int64, error) {
	return in.received(ctx, v.Workspace, v.Contact.Bytes(), sha256)
}

// OpenFile implements Visitors.
func (in *Inbox) OpenFile(ctx context.Context, v Visitor, sha256 string) (chat.File, io.ReadSeekCloser, error) {
	if !chat.IsSHA256(sha256) {
		return chat.File{}, nil, notAHash()
	}
	conv, err := in.conversationOf(ctx, v)
	if err != nil {
		return chat.File{}, nil, err
	}
	f, err := in.store.CustomerFile(ctx, v.Workspace, conv, chat.ContactID{}, sha256)
	if isNotFound(err) {
		err = notFound("file")
	}
	if err != nil {
		return f, nil, err
	}
	return in.openContent(v.Workspace, f)
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

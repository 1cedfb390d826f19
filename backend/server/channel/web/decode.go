package web

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"unicode/utf8"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// maxToken is more than any visitor token is long.
const maxToken = 256

// readBody reads a JSON body of at most protocol.MaxBody bytes. A body that
// says it is longer is refused before any of it is read.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	tooLarge := chat.Errorf(chat.CodeTooLarge, "The request is larger than %d kB.", protocol.MaxBody>>10)
	if r.ContentLength > protocol.MaxBody {
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, protocol.MaxBody))
	var cut *http.MaxBytesError
	if errors.As(err, &cut) {
		return nil, tooLarge
	}
	return body, err
}

// decode reads a JSON object into dst, a pointer to a struct, as members'
// requests are read.
func decode(body []byte, dst any) error {
	err := protocol.DecodeAs("body", body, dst)
	if err == nil && !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) { // null fits everywhere
		return chat.Invalid("body", "A JSON object is wanted.")
	}
	return err
}

// checkLine refuses text that is no single value: too long, not UTF-8, or with
// a zero byte.
func checkLine(field, text string, maxBytes int) error {
	if len(text) > maxBytes {
		return chat.Invalid(field, "At most %d bytes are allowed here.", maxBytes)
	}
	return chat.CheckText(field, text, maxBytes)
}

// clip shortens text to at most max bytes, between runes.
func clip(text string, max int) string {
	if len(text) <= max {
		return text
	}
	for max > 0 && !utf8.RuneStart(text[max]) {
		max--
	}
	return text[:max]
}

package protocol

import (
	"strconv"
	"strings"

	"parley/backend/chat"
)

// ContentRange says which piece of a file an upload carries.
type ContentRange struct {
	First, Last, Total int64
	// Asks is set for "bytes */TOTAL": nothing is sent, only the progress wanted.
	Asks bool
}

// ParseContentRange reads the Content-Range of an upload whose body has length
// bytes: "bytes FIRST-LAST/TOTAL" or "bytes */TOTAL".
func ParseContentRange(header string, length int64) (ContentRange, error) {
	wrong := chat.Invalid("Content-Range", "A piece is named like this: bytes 0-1048575/5242880, with as many bytes as the body.")
	rest, ok := strings.CutPrefix(header, "bytes ")
	span, total, ok2 := strings.Cut(rest, "/")
	all, err := size(total)
	if !ok || !ok2 || err != nil {
		return ContentRange{}, wrong
	}
	if span == "*" {
		if length > 0 {
			return ContentRange{}, wrong
		}
		return ContentRange{Total: all, Asks: true}, nil
	}
	first, last, ok := strings.Cut(span, "-")
	from, err1 := size(first)
	to, err2 := size(last)
	if !ok || err1 != nil || err2 != nil || to < from || to >= all || to-from+1 != length {
		return ContentRange{}, wrong
	}
	return ContentRange{First: from, Last: to, Total: all}, nil
}

// size reads digits, no more than a JavaScript number can count.
func size(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 53)
	return int64(n), err
}

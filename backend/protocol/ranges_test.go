package protocol

import (
	"testing"

	"parley/backend/chat"
)

func TestContentRange(t *testing.T) {
	for header, want := range map[string]ContentRange{
		"bytes 5-9/20": {First: 5, Last: 9, Total: 20}, "bytes 0-4/5": {Last: 4, Total: 5},
	} {
		if got, err := ParseContentRange(header, 5); got != want || err != nil {
			t.Errorf("%s: %+v %v", header, got, err)
		}
	}
	if got, err := ParseContentRange("bytes */20", 0); !got.Asks || got.Total != 20 || err != nil {
		t.Errorf("a question: %+v %v", got, err)
	}
	for _, header := range []string{"", "bytes", "bytes 0-1", "bytes 1-0/5", "bytes 0-5/5", "bytes -1-2/5", "bytes 0-1/*", "bytes */*",
		"bytes */20", "items 0-1/5", "bytes 0-1/99999999999999999999", "bytes 0x0-1/5", "bytes +0-1/5", "bytes 0-2/5"} {
		if got, err := ParseContentRange(header, 2); chat.ErrorCode(err) != chat.CodeInvalid {
			t.Errorf("%q was accepted: %+v", header, got)
		}
	}
}

package web

import (
	"testing"
)

// maxZipped is what a page of a company pays for the chat at most, per output
// with its styles: the promise of the product.
const maxZipped = 30_000

func TestWhatCustomersLoadStaysSmall(t *testing.T) {
	a := readAssets(embedded())
	if !a.complete() {
		t.Fatal("the customer pages are not built: make frontend builds them")
	}
	for name, size := range map[string]int{
		"the script of the script tag": len(a["widget.js"].zipped),
		"the chat page":                len(a["chat.js"].zipped) + len(a["chat.css"].zipped),
	} {
		t.Logf("%s: %d bytes zipped", name, size)
		if size >= maxZipped {
			t.Errorf("%s has %d bytes zipped, at most %d are allowed", name, size, maxZipped)
		}
	}
}

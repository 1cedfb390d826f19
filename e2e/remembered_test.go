package e2e

import (
	"fmt"
	"image"
	"io/fs"
	"path/filepath"
	"testing"
	"time"
)

// The parts of the window whose widths a person chooses, by a handle on their edge.
const (
	listPart = `[data-panel="list"]`
	cardPart = `[data-panel="contact"]`
	handle   = ` [role="separator"]`
)

// keptInFiles is what the window says where there is no keychain.
const keptInFiles = "kept in files that only you can read"

// TestTheWindowIsAsItWasLeft is the second start of somebody who has arranged the window, on a computer without a
// keychain: the window says that there is none, and comes back where and how it was.
func TestTheWindowIsAsItWasLeft(t *testing.T) {
	desk := NewDesk(t, withoutKeychain, blackBehind)
	window := OpenParley(desk)
	window.Shows(notices, keptInFiles)
	secretsAreTheirOwners(t, filepath.Join(desk.Home, "data", "parley", "secrets"))
	customer := NewCustomer(t, window.Text(shareLink))
	customer.Say("Is the blue one in stock?")
	window.Open("the blue one")
	customer.ExpectErrors("ERR_CONNECTION_REFUSED") // while the program, and the server in it, is away

	list, card := window.place(listPart).Dx()+44, window.place(cardPart).Dx()+36
	window.Drag(listPart+handle, 44)
	window.hasWidth(listPart, list)
	window.selectsNothing()
	window.Drag(cardPart+handle, -36)
	window.hasWidth(cardPart, card)
	window.selectsNothing()

	window.Resize(900, 600)
	window.Snapshot("window-smallest")
	window.nothingIsCutOff()

	window.Resize(1200, 720)
	window.Move(210, 130)
	window.Keys("ctrl+comma")
	window.Click(`[role="dialog"] [aria-label^="Theme:"]`, "")
	window.Click(`.select-list [role="option"]`, "Dark")
	window.isDark()
	window.Keys("Escape")
	window.WaitFor("the settings to be closed", `!document.querySelector('[role="dialog"]')`)
	was := window.content()
	window.Close()

	white := desk.Screen.white(was)
	window = OpenWindow(desk, Program(t, "parley-devtools"))
	window.Shows(chatRow, "the blue one")
	window.isDark()
	window.Focus()
	if share := white(); share > 0.3 {
		t.Errorf("while it started, %.0f %% of a dark window were white", 100*share)
	}
	Until(t, fmt.Sprintf("the window to be at %v again, not at %v", was, window.content()), func() bool { return window.content() == was })
	window.Open("the blue one")
	window.hasWidth(listPart, list)
	window.hasWidth(cardPart, card)
	window.Shows(notices, keptInFiles)
	window.Close()
}

// secretsAreTheirOwners checks that nobody else on the computer can read what is kept instead of in a keychain.
func secretsAreTheirOwners(t *testing.T, folder string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o700)
		if !entry.IsDir() {
			want = 0o600
			files++
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has the mode %o, want %o", entry.Name(), info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("the sign-in is in %d files: %v", files, err)
	}
}

// hasWidth waits until the first element that matches is that wide.
func (w *Window) hasWidth(selector string, width int) {
	w.t.Helper()
	w.WaitFor(fmt.Sprintf("%s to be %d wide", selector, width),
		fmt.Sprintf("Math.round(document.querySelector(%s).getBoundingClientRect().width) === %d", quote(selector), width))
}

// selectsNothing checks that no text was selected by what moved over it.
func (w *Window) selectsNothing() {
	w.t.Helper()
	var text string
	w.Eval("getSelection().toString()", &text)
	if text != "" {
		w.t.Errorf("selected: %q", text)
	}
}

func (w *Window) isDark() {
	w.t.Helper()
	w.WaitFor("the dark theme", "document.documentElement.dataset.theme === 'dark'")
}

// nothingIsCutOff checks that all there is to work with can be seen and reached, also in the smallest window. What
// scrolls may be scrolled away.
func (w *Window) nothingIsCutOff() {
	w.t.Helper()
	var lost []string
	w.Eval(`(() => {
		const lost = [];
		const {scrollWidth} = document.documentElement;
		if (scrollWidth > innerWidth) lost.push('of the page, ' + (scrollWidth - innerWidth) + ' px');
		const within = (box, bounds) =>
			box.left >= bounds.left - 1 && box.right <= bounds.right + 1 && box.top >= bounds.top - 1 && box.bottom <= bounds.bottom + 1;
		for (const element of document.querySelectorAll('[data-panel] :is(button, input, textarea), [role="listbox"] [role="option"]:first-child, [role="log"]')) {
			if (!element.checkVisibility() || element.closest('[role="log"] *')) continue;
			const box = element.getBoundingClientRect();
			const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
			if (within(box, {left: 0, top: 0, right: innerWidth, bottom: innerHeight}) &&
				within(box, element.closest('[data-panel]').getBoundingClientRect()) && element.contains(at)) continue;
			lost.push((element.ariaLabel ?? element.innerText) + ': ' + JSON.stringify(box));
		}
		return lost;
	})()`, &lost)
	for _, each := range lost {
		w.t.Errorf("cut off: %s", each)
	}
	for _, selector := range []string{chatRow, thread, replyField} {
		if w.place(selector).Empty() {
			w.t.Errorf("%s is not seen", selector)
		}
	}
}

// white looks at a part of the screen until the returned function is called, which gives the largest share of it that
// was white at any moment, as a light page is and one that is not painted yet. The grey of the toolkit, which it may
// show for a single frame before anything is in the window, is not.
func (s *Screen) white(part image.Rectangle) (end func() float64) {
	part = part.Intersect(s.size)
	count := func(ok func(x, y int) bool) int {
		seen := look(part, ok)
		return seen.differs(make(ink, len(seen)), seen)
	}
	all := count(func(int, int) bool { return true })
	ended, most := make(chan struct{}), make(chan int)
	go func() {
		tick := time.NewTicker(4 * time.Millisecond)
		defer tick.Stop()
		for white := 0; ; {
			white = max(white, count(func(x, y int) bool { return s.pixels[y*s.stride+4*x+1] >= 248 }))
			select {
			case <-tick.C:
			case <-ended:
				most <- white
				return
			}
		}
	}()
	return func() float64 {
		close(ended)
		return float64(<-most) / float64(all)
	}
}

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Window is a native window on a desk. What it shows is read through WebKit's inspector; what a person does to it is
// done with real keys and a real mouse. An error on its console fails the test.
type Window struct {
	t     testing.TB
	desk  *Desk
	began time.Time // when the program was started
	proc  *process
	page  *inspector
	addr  string // of the inspector
	id    string // of the X window
}

// OpenWindow starts the program, built with the devtools tag, and returns once its window is shown and its page can
// be asked.
func OpenWindow(desk *Desk, program string, args ...string) *Window {
	t := desk.t
	t.Helper()
	w := openPage(desk, program, args...)
	w.findShown()
	return w
}

// findShown waits until the program's window is on the screen.
func (w *Window) findShown() {
	w.t.Helper()
	Until(w.t, "the window to be shown", func() bool {
		pid := strconv.Itoa(w.proc.cmd.Process.Pid)
		out, err := w.desk.Command("xdotool", "search", "--onlyvisible", "--pid", pid).Output()
		ids := strings.Fields(string(out))
		if err != nil || len(ids) == 0 {
			return false
		}
		w.id = ids[len(ids)-1]
		return true
	})
}

// content is where the window is on the screen, without its title bar.
func (w *Window) content() image.Rectangle {
	w.t.Helper()
	w.findShown()
	var x, y, width, height int
	for line := range strings.Lines(run(w.t, w.desk.Command("xwininfo", "-id", w.id))) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		to := map[string]*int{"Absolute upper-left X": &x, "Absolute upper-left Y": &y, "Width": &width, "Height": &height}[name]
		if to == nil {
			continue
		}
		var err error
		if *to, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
			w.t.Fatalf("find the window on the screen: %v", err)
		}
	}
	return image.Rect(x, y, x+width, y+height)
}

// place is where the first element that matches is on the screen.
func (w *Window) place(selector string) image.Rectangle {
	w.t.Helper()
	var box struct{ Left, Top, Right, Bottom float64 }
	w.Eval(fmt.Sprintf(`(({left, top, right, bottom}) => ({left, top, right, bottom}))(document.querySelector(%s).getBoundingClientRect())`,
		quote(selector)), &box)
	return image.Rect(int(box.Left), int(box.Top), int(box.Right), int(box.Bottom)).Add(w.content().Min)
}

// launch starts the program and returns at once. Its window can be looked at and typed into, but not asked.
func launch(desk *Desk, program string, args ...string) *Window {
	desk.t.Helper()
	w := &Window{t: desk.t, desk: desk, began: time.Now()}
	w.proc = start(desk.t, "the window", desk.Command(program, args...))
	return w
}

// openPage starts the program and returns as soon as its page can be asked.
func openPage(desk *Desk, program string, args ...string) *Window {
	t := desk.t
	t.Helper()
	addr := freePort(t)
	cmd := desk.Command(program, args...)
	cmd.Env = append(slices.Clone(cmd.Env), "WEBKIT_INSPECTOR_HTTP_SERVER="+addr)
	w := &Window{t: t, desk: desk, began: time.Now(), addr: addr}
	w.proc = start(t, "the window", cmd)
	w.connect()
	t.Cleanup(func() {
		w.checkConsole()
		w.page.close()
	})
	return w
}

func (w *Window) connect() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	page, err := inspect(ctx, w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.page = page
}

// Unobserved does something while the inspector is not connected. With it WebKit paints the whole window for every
// change: what is measured then is not what an agent has.
func (w *Window) Unobserved(do func()) {
	w.t.Helper()
	w.checkConsole()
	w.page.close()
	do()
	w.connect()
}

// Kill ends the program as `kill -9` does: nothing of it gets to tidy up.
func (w *Window) Kill() {
	w.t.Helper()
	w.checkConsole()
	w.proc.kill()
}

// Close closes the window as a person does, by the keyboard of the window manager, and waits until the program ended.
func (w *Window) Close() {
	w.t.Helper()
	w.checkConsole()
	w.Focus()
	w.Keys("alt+F4")
	Until(w.t, "the program to end after its window was closed", func() bool { return !w.proc.running() })
	if w.proc.err != nil {
		w.t.Errorf("the program ended with: %v", w.proc.err)
	}
}

// Eval evaluates an expression in the page, waits for it if it is a promise, and decodes its value into result, which
// may be nil.
func (w *Window) Eval(expression string, result any) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := w.page.evaluate(ctx, expression, result); err != nil {
		w.t.Fatalf("in the window: %v\n%s", err, expression)
	}
}

// WaitFor waits inside the page until the expression is true. If it never is, the test fails with a picture of the
// window and the text it shows instead.
func (w *Window) WaitFor(what, expression string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*patience)
	defer cancel()
	var seen bool
	err := w.page.evaluate(ctx, fmt.Sprintf(`new Promise((resolve) => {
		const end = Date.now() + %d;
		const look = () => {
			let ok = false;
			try { ok = Boolean(%s); } catch { ok = false; }
			if (ok || Date.now() > end) resolve(ok); else setTimeout(look, 15);
		};
		look();
	})`, patience.Milliseconds(), expression), &seen)
	if err == nil && seen {
		return
	}
	w.desk.Photograph("failed-" + strings.ReplaceAll(w.t.Name(), "/", "-"))
	var text string
	if w.page.evaluate(ctx, "document.body.innerText", &text) != nil {
		text = "(it does not answer)"
	}
	w.t.Fatalf("waited in vain for: %s\n%s\nerror: %v\nthe window shows:\n%s", what, expression, err, text)
}

// Shows waits until an element that matches the selector contains the text.
func (w *Window) Shows(selector, text string) {
	w.t.Helper()
	w.WaitFor(fmt.Sprintf("%q in %s", text, selector), has(selector, text))
}

// Lacks waits until no element that matches the selector contains the text.
func (w *Window) Lacks(selector, text string) {
	w.t.Helper()
	w.WaitFor(fmt.Sprintf("no %q in %s", text, selector), "!"+has(selector, text))
}

// Text is the visible text of the first element that matches, or nothing.
func (w *Window) Text(selector string) string {
	w.t.Helper()
	var text string
	w.Eval(fmt.Sprintf("document.querySelector(%s)?.innerText ?? ''", quote(selector)), &text)
	return text
}

// Count is how many elements match.
func (w *Window) Count(selector string) int {
	w.t.Helper()
	var n int
	w.Eval(fmt.Sprintf("document.querySelectorAll(%s).length", quote(selector)), &n)
	return n
}

// Focus brings the window to the front, so that keys go to it.
func (w *Window) Focus() {
	w.t.Helper()
	run(w.t, w.desk.Command("xdotool", "windowactivate", "--sync", w.id))
	w.WaitFor("the window to have the keyboard", "document.hasFocus()")
}

// Type types ASCII text with real keys into whatever has the focus.
func (w *Window) Type(text string) {
	w.t.Helper()
	run(w.t, w.desk.Command("xdotool", "type", "--delay", "4", text))
}

// Keys presses keys one after the other, each written as xdotool does: Return, ctrl+k, Escape.
func (w *Window) Keys(keys ...string) {
	w.t.Helper()
	run(w.t, w.desk.Command("xdotool", append([]string{"key", "--delay", "4"}, keys...)...))
}

// Click clicks with the real mouse into the middle of the first element that matches and, if text is not empty,
// contains it.
func (w *Window) Click(selector, text string) {
	w.t.Helper()
	w.Shows(selector, text)
	var at struct{ X, Y float64 }
	w.Eval(fmt.Sprintf(`(() => {
		const all = [...document.querySelectorAll(%s)].filter((e) => e.textContent.includes(%s));
		const element = all[0];
		element.scrollIntoView({block: 'nearest'});
		const box = element.getBoundingClientRect();
		return {X: box.x + box.width / 2, Y: box.y + box.height / 2};
	})()`, quote(selector), quote(text)), &at)
	run(w.t, w.desk.Command("xdotool", "mousemove", "--window", w.id,
		strconv.Itoa(int(at.X)), strconv.Itoa(int(at.Y)), "click", "1"))
}

// Resize gives the window's content this size.
func (w *Window) Resize(width, height int) {
	w.t.Helper()
	run(w.t, w.desk.Command("xdotool", "windowsize", w.id, strconv.Itoa(width), strconv.Itoa(height)))
	w.WaitFor(fmt.Sprintf("a size of %d × %d", width, height),
		fmt.Sprintf("innerWidth === %d && innerHeight === %d", width, height))
}

// Move puts the window, with its title bar, at this place of the screen.
func (w *Window) Move(x, y int) {
	w.t.Helper()
	run(w.t, w.desk.Command("xdotool", "windowmove", "--sync", w.id, strconv.Itoa(x), strconv.Itoa(y)))
}

// Drag takes the first element that matches with the real mouse and moves it to the right, or to the left if by is
// negative.
func (w *Window) Drag(selector string, by int) {
	w.t.Helper()
	at := w.place(selector)
	x, y := at.Min.X+at.Dx()/2, at.Min.Y+at.Dy()/2
	move := func(x int) []string { return []string{"mousemove", strconv.Itoa(x), strconv.Itoa(y)} }
	run(w.t, w.desk.Command("xdotool", slices.Concat(move(x), []string{"mousedown", "1"},
		move(x+by/2), move(x+by), []string{"mouseup", "1"})...))
}

// Snapshot keeps a picture of the page, without the title bar, as e2e/shots/NAME.png.
func (w *Window) Snapshot(name string) {
	w.t.Helper()
	var size struct{ W, H int }
	// Two frames later everything that was just changed is painted, and fonts are there.
	w.Eval(`document.fonts.ready
		.then(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))))
		.then(() => ({W: innerWidth, H: innerHeight}))`, &size)
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	var picture struct {
		DataURL string `json:"dataURL"`
	}
	if err := w.page.call(ctx, "Page.snapshotRect", map[string]any{
		"x": 0, "y": 0, "width": size.W, "height": size.H, "coordinateSystem": "Viewport",
	}, &picture); err != nil {
		w.t.Fatalf("take a picture of the window: %v", err)
	}
	_, encoded, _ := strings.Cut(picture.DataURL, ",")
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		w.t.Fatalf("take a picture of the window: %v", err)
	}
	if err := os.WriteFile(shotPath(w.t, name), data, 0o644); err != nil {
		w.t.Fatalf("keep a picture of the window: %v", err)
	}
}

// AllowErrors forgets the console's errors so far that contain the text: those that the test has provoked.
func (w *Window) AllowErrors(text string) {
	w.t.Helper()
	for _, said := range w.page.takeErrors() {
		if !strings.Contains(said, text) {
			w.t.Errorf("error on the window's console: %s", said)
		}
	}
}

func (w *Window) checkConsole() {
	w.t.Helper()
	if w.page == nil {
		return
	}
	for _, said := range w.page.takeErrors() {
		w.t.Errorf("error on the window's console: %s", said)
	}
}

// has is the expression "some element that matches contains the text".
func has(selector, text string) string {
	return fmt.Sprintf("[...document.querySelectorAll(%s)].some((e) => (e.textContent + (e.value ?? '')).includes(%s))",
		quote(selector), quote(text))
}

// quote writes a string as JavaScript does.
func quote(text string) string {
	data, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always encodes
	}
	return string(data)
}

// copyLimited reads at most a megabyte: more is no page of the inspector.
func copyLimited(to io.Writer, from io.Reader) (int64, error) {
	return io.Copy(to, io.LimitReader(from, 1<<20))
}

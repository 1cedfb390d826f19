package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"parley/backend/chat"
	"parley/backend/server/channel/web"
)

// tab is a real browser's tab.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// browser starts Chromium with an empty profile; its tabs share it.
func browser(t *testing.T) func() tab {
	t.Helper()
	built(t)
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Fatal("no Chromium on this machine: build/install.sh test brings it")
	}
	quiet := func(string, ...any) {}
	first, cancel := chromedp.NewContext(context.Background(), chromedp.WithErrorf(quiet), chromedp.WithLogf(quiet),
		chromedp.WithAllocatorOptions(chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en-GB")))
	t.Cleanup(cancel)
	if err := chromedp.Do(first, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	return func() tab {
		ctx, cancel := chromedp.NewContext(first)
		ctx, cancelTime := context.WithTimeout(ctx, 90*time.Second)
		t.Cleanup(func() { cancelTime(); cancel() })
		return tab{t, ctx}
	}
}

func (b tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// value evaluates an expression in the page.
func value[T any](b tab, expression string, options ...chromedp.EvaluateOption) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, options...))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// js runs a statement in the page.
func (b tab) js(statement string) { b.t.Helper(); value[bool](b, statement+"; true") }

// wait waits for an expression to become true, also across a navigation.
func (b tab) wait(expression string) {
	b.t.Helper()
	eventually(b.t, expression, func() bool {
		v, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		return err == nil && v
	})
}

// waitInFrame waits for an expression inside of the page's first frame.
func (b tab) waitInFrame(expression string) {
	b.t.Helper()
	eventually(b.t, expression, func() bool {
		f := b.frame()
		if f == nil {
			return false
		}
		world, err := chromedp.Call(b.ctx, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: f.ID})
		if err != nil {
			return false
		}
		v, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")",
			func(p *runtime.EvaluateParams) { p.ContextID = world.ExecutionContextID }))
		return err == nil && v
	})
}

// frame finds the page's first frame. One that the browser refused to show has
// the address of an error page.
func (b tab) frame() *cdp.Frame {
	b.t.Helper()
	tree, err := chromedp.Call(b.ctx, page.GetFrameTree, cdp.Empty{})
	if err != nil {
		b.t.Fatal(err)
	}
	if len(tree.FrameTree.ChildFrames) == 0 {
		return nil
	}
	return tree.FrameTree.ChildFrames[0].Frame
}

// enter presses Enter as a keyboard does: what the page prevents types nothing.
func (b tab) enter(modifiers int64) {
	b.t.Helper()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		p := input.DispatchKeyEventParams{Type: kind, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13, Modifiers: modifiers}
		if kind == input.DispatchKeyEventTypeKeyDown {
			p.Text = "\r"
		}
		if _, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, p); err != nil {
			b.t.Fatal(err)
		}
	}
}

// write types a message and presses Enter.
func (b tab) write(text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS("textarea"), text))
	b.enter(0)
}

// thread is what the page shows of the conversation.
func (b tab) thread() []string {
	b.t.Helper()
	return value[[]string](b, `[...document.querySelectorAll(".row .bubble")].map(e => e.innerText)`)
}

func (h *house) share() string { return h.server.URL + "/c/" + h.channel.Slug }

func (h *house) stored() []string {
	h.t.Helper()
	msgs := []string{}
	_, all, err := h.store.VisitorMessages(h.t.Context(), h.ws, h.conversation().ID, 0, 500)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, m := range all {
		msgs = append(msgs, m.Text())
	}
	return msgs
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestBrowserTalksAndAReloadKeepsTheThread(t *testing.T) {
	newTab := browser(t)
	h := build(t, func(s *chat.ChannelSettings, _ *web.Options) { s.Suggested = []string{"Where is my order?"} })
	h.quick()
	b := newTab()
	b.do(chromedp.Navigate(h.share()), chromedp.Click(chromedp.CSS(".chip")))
	b.wait(`document.querySelector(".tick.sent")`)
	const rude = `<img src=x onerror="document.title='broken in'"> see https://shop.example/a`
	h.answer(h.conversation().ID, rude)
	b.wait(`document.querySelector(".theirs .bubble")`)
	b.write("Thank you!")
	b.wait(`document.querySelectorAll(".tick.sent").length === 2`)
	want := []string{"Where is my order?", rude, "Thank you!"}
	same(t, "shown", b.thread(), want...)
	link := value[[]string](b, `(a => [a.href, a.rel, a.target])(document.querySelector(".bubble a"))`)
	same(t, "link", link, "https://shop.example/a", "noopener noreferrer nofollow", "_blank")
	if title := value[string](b, "document.title"); strings.Contains(title, "broken") {
		t.Error("a message ran as a script")
	}
	same(t, "author", []string{value[string](b, `document.querySelector(".theirs .who bdi").innerText`)}, "Ana")

	b.do(chromedp.SendKeys(chromedp.CSS("textarea"), "half a tho"), chromedp.Reload())
	b.wait(`document.querySelectorAll(".row").length === 3`)
	same(t, "after a reload", b.thread(), want...)
	same(t, "draft", []string{value[string](b, `document.querySelector("textarea").value`)}, "half a tho")
	same(t, "stored", h.stored(), want...)

	second := newTab() // another tab of the same visitor
	second.do(chromedp.Navigate(h.share()))
	second.wait(`document.querySelectorAll(".row").length === 3`)
	h.answer(h.conversation().ID, "Any time.")
	for _, x := range []tab{b, second} {
		x.wait(`document.querySelectorAll(".row").length === 4`)
	}
}

func TestBrowserSendsOnceWhatWasWrittenOffline(t *testing.T) {
	newTab := browser(t)
	h := build(t, nil)
	b := newTab()
	b.do(chromedp.Navigate(h.share()), chromedp.WaitVisible(chromedp.CSS("textarea")))
	b.write("first")
	b.wait(`document.querySelector(".tick.sent")`)
	h.line.set(true)
	b.write("while the line is down")
	b.write("and another")
	b.wait(`document.querySelectorAll(".tick.waiting").length === 2 && document.querySelector(".notice").innerText.includes("kept")`)
	same(t, "stored while offline", h.stored(), "first")
	h.line.set(false)
	b.js(`dispatchEvent(new Event("online"))`)
	b.wait(`document.querySelectorAll(".tick.sent").length === 3`)
	same(t, "stored", h.stored(), "first", "while the line is down", "and another")

	h.line.set(true)
	b.write("before the crash")
	b.wait(`document.querySelector(".tick.waiting")`)
	b.do(chromedp.Navigate("about:blank")) // the page is gone with its message unsent
	h.line.set(false)
	b.do(chromedp.Navigate(h.share()))
	b.wait(`document.querySelectorAll(".tick.sent").length === 4`)
	want := []string{"first", "while the line is down", "and another", "before the crash"}
	same(t, "stored after the crash", h.stored(), want...)
	same(t, "shown after the crash", b.thread(), want...)
}

func TestBrowserKeys(t *testing.T) {
	newTab := browser(t)
	h := build(t, nil)
	b := newTab()
	b.do(chromedp.Navigate(h.share()), chromedp.SendKeys(chromedp.CSS("textarea"), "one"))
	b.enter(8) // with Shift
	b.do(chromedp.SendKeys(chromedp.CSS("textarea"), "two"))
	// The Enter that ends the composition of a character, as browsers report it.
	b.js(`(i => { for (const o of [{isComposing: true}, {keyCode: 229}])
		i.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true, cancelable: true, ...o})) })(document.querySelector("textarea"))`)
	same(t, "field", []string{value[string](b, `document.querySelector("textarea").value`)}, "one\ntwo")
	b.enter(0)
	b.wait(`document.querySelector(".tick.sent")`)
	same(t, "stored", h.stored(), "one\ntwo")
}

func TestBrowserAsksBeforeTheFirstMessage(t *testing.T) {
	newTab := browser(t)
	h := build(t, func(s *chat.ChannelSettings, _ *web.Options) { s.AskName, s.AskEmail = true, true })
	b := newTab()
	b.do(chromedp.Navigate(h.share()), chromedp.SendKeys(chromedp.CSS("#before-name"), "Lucía"),
		chromedp.SendKeys(chromedp.CSS("#before-email"), "nobody"))
	b.enter(0)
	b.wait(`document.querySelector("#before-email").getAttribute("aria-invalid") === "true"`)
	b.do(chromedp.SendKeys(chromedp.CSS("#before-email"), "@shop.example"))
	b.enter(0)
	b.do(chromedp.WaitVisible(chromedp.CSS("textarea")))
	b.write("hello")
	b.wait(`document.querySelector(".tick.sent")`)
	c, err := h.store.Contact(t.Context(), h.ws, chat.View{}, h.conversation().Contact)
	if err != nil || c.Name != "Lucía" || c.Email != "nobody@shop.example" || c.Verified {
		t.Errorf("%+v %v", c, err)
	}
}

func TestBrowserShowsTheWidgetOnListedPagesOnly(t *testing.T) {
	newTab := browser(t)
	key := ""
	site := http.NewServeMux()
	base := ""
	site.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		// A strict policy of the page's own must not break the widget.
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src "+base+"; frame-src "+base)
		fmt.Fprintf(w, `<!doctype html><title>shop</title><script src="%s/widget.js?channel=%s" data-name="Lucía" data-theme="dark" async></script>`, base, key)
	})
	site.HandleFunc("GET /frame", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>frame</title><iframe src="%s/widget/%s"></iframe>`, base, key)
	})
	listed, foreign := httptest.NewServer(site), httptest.NewServer(site)
	defer listed.Close()
	defer foreign.Close()
	h := build(t, func(s *chat.ChannelSettings, _ *web.Options) { s.Origins = []string{listed.URL} })
	h.quick()
	key, base = h.channel.Key, h.server.URL

	b := newTab()
	b.do(chromedp.Navigate(listed.URL + "/?utm_source=news&utm_campaign=spring"))
	b.wait(`window.Parley?.open`)
	const shadow = `document.querySelector("#parley-widget").shadowRoot.`
	b.js(shadow + `querySelector(".launcher").click()`)
	b.wait(shadow + `querySelector("iframe") && ` + shadow + `activeElement?.tagName === "IFRAME"`)
	b.waitInFrame(`document.activeElement?.tagName === "TEXTAREA"`)
	b.do(chromedp.KeyEvent("hello from the shop"))
	b.enter(0)
	b.waitInFrame(`document.querySelector(".tick.sent")`)
	same(t, "stored", h.stored(), "hello from the shop")
	conv := h.conversation()
	if o := conv.Origin; o == nil || !strings.HasPrefix(o.Page, listed.URL) || o.UTM["source"] != "news" || o.UTM["campaign"] != "spring" {
		t.Errorf("origin %+v", o)
	}
	b.js(`Parley.close()`)
	h.answer(conv.ID, "Hi Lucía!")
	b.wait(shadow + `querySelector(".badge").innerText === "1" && ` + shadow + `querySelector(".launcher").ariaLabel.includes("1 unread")`)
	b.do(chromedp.Reload())
	b.wait(`window.Parley?.open`)
	b.wait(shadow + `querySelector(".badge").innerText === "1"`)
	b.js(`Parley.open()`)
	b.wait(shadow + `querySelector(".badge").hidden`)

	b.do(chromedp.Navigate(foreign.URL))
	b.wait(`document.readyState === "complete"`)
	if value[bool](b, `Boolean(document.querySelector("#parley-widget"))`) {
		t.Error("a page that is not listed shows the widget")
	}
	for origin, allowed := range map[string]bool{listed.URL: true, foreign.URL: false} {
		b.do(chromedp.Navigate(origin + "/frame"))
		b.wait(`document.readyState === "complete" && window.frames.length === 1`)
		if got := strings.HasPrefix(b.frame().URL, h.server.URL+"/widget/"); got != allowed {
			t.Errorf("framed by %s: %s", origin, b.frame().URL)
		}
	}
}

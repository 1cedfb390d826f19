package e2e

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// What a share-link page is made of, as a person finds it.
const (
	customerField = chromedp.CSS(`textarea`)
	customerLog   = chromedp.CSS(`[role="log"]`)
)

// Customer is a person with a browser on a share-link page. An error on the page's console fails the test.
type Customer struct {
	t        testing.TB
	ctx      context.Context // of the tab
	expected chan string     // texts of errors that the test provokes, from now on
}

// NewCustomer opens the page in a Chromium of its own, with a profile that nobody has used before.
func NewCustomer(t testing.TB, page string) *Customer {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(chromium(t)),
		chromedp.WindowSize(1280, 800),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox refuses to run as root
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, leave := chromedp.NewContext(allocator)
	c := &Customer{t: t, ctx: ctx, expected: make(chan string, 16)}
	if err := chromedp.Do(ctx); err != nil { // starts the browser, which must not inherit a deadline
		t.Fatalf("start Chromium: %v", err)
	}
	var console sync.WaitGroup
	messages := chromedp.Console(ctx)
	console.Go(func() {
		for message, err := range messages {
			if err != nil {
				return
			}
			if (message.IsException() || message.Type == chromedp.ConsoleError) && !c.expects(message.Text) {
				t.Errorf("error on the customer's console: %s (%s:%d)", message.Text, message.URL, message.Line)
			}
		}
	})
	t.Cleanup(func() {
		if t.Failed() {
			c.Photograph("failed-customer-" + strings.ReplaceAll(t.Name(), "/", "-"))
		}
		leave()
		stop()
		console.Wait()
	})
	c.do(chromedp.Navigate(page), chromedp.WaitVisible(customerField))
	return c
}

// ExpectErrors lets errors on the console pass, from now on, that contain the text: those that the test provokes.
func (c *Customer) ExpectErrors(text string) { c.expected <- text }

// expects says whether the test has provoked an error.
func (c *Customer) expects(said string) bool {
	for range len(c.expected) {
		text := <-c.expected
		c.expected <- text
		if strings.Contains(said, text) {
			return true
		}
	}
	return false
}

// Say writes a message and sends it with Enter.
func (c *Customer) Say(text string) {
	c.t.Helper()
	c.do(chromedp.SendKeys(customerField, text), chromedp.Func(pressEnter))
	c.Sees(text)
}

// pressEnter presses the key as a keyboard does: a page that takes the key for itself gets no character from it.
func pressEnter(ctx context.Context, tab *chromedp.Target) error {
	for _, kind := range []input.DispatchKeyEventType{
		input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp,
	} {
		if _, err := cdp.Call(ctx, tab, input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: kind, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13, NativeVirtualKeyCode: 13,
		}); err != nil {
			return err
		}
	}
	return nil
}

// Sees waits until the conversation on the page contains the text.
func (c *Customer) Sees(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, 2*patience)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](
		"document.querySelector("+quote(string(customerLog))+")?.innerText.includes("+quote(text)+")",
		chromedp.WithPollingTimeout(patience)))
	c.check("wait for "+quote(text), err)
}

// SeesTimes is how often the text now stands in the conversation.
func (c *Customer) SeesTimes(text string) int {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	shown, err := chromedp.Run(ctx, chromedp.Evaluate[string](
		"document.querySelector("+quote(string(customerLog))+").innerText"))
	c.check("read the conversation", err)
	return strings.Count(shown, text)
}

// Reload loads the page anew, as a person does who has lost trust in it.
func (c *Customer) Reload() {
	c.t.Helper()
	c.do(chromedp.Reload(), chromedp.WaitVisible(customerField))
}

// Photograph keeps a picture of the page as e2e/shots/NAME.png.
func (c *Customer) Photograph(name string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(shotPath(c.t, name), picture, 0o644)
	}
	if err != nil {
		c.t.Errorf("keep a picture of the customer's page: %v", err)
	}
}

// do carries out the steps, which together may not take for ever.
func (c *Customer) do(steps ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, 2*patience)
	defer cancel()
	c.check("use the page", chromedp.Do(ctx, steps...))
}

// check fails the test with what the page shows instead.
func (c *Customer) check(doing string, err error) {
	c.t.Helper()
	if err == nil {
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	shown, readErr := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if readErr != nil {
		shown = "(nothing that could be read)"
	}
	c.t.Fatalf("at the customer's, %s: %v\nthe page shows:\n%s", doing, err, shown)
}

// chromium finds the browser, by whatever name the system has it.
func chromium(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium here: run `make test`, which installs it")
	return ""
}

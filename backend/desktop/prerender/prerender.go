// Package prerender draws the window's first picture as markup, with the
// window's own components, so that the webview can paint it before it has read
// a line of the window's script. It runs while the webview starts.
package prerender

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"

	"modernc.org/quickjs"
)

// View is the page that the picture is drawn for, in CSS pixels.
type View struct{ Width, Height int }

// Picture is a window as markup.
type Picture struct {
	Body  string   `json:"body"`
	Fonts []string `json:"fonts"` // paths of the fonts it is written in, besides the one that every page brings
}

// ErrNoPicture says that the opening does not hold all that the window shows.
var ErrNoPicture = errors.New("the opening is not all the window shows")

// maxMemory is what drawing may take, in bytes: ten times of what it does.
const maxMemory = 64 << 20

// Compile turns the script that draws the window, which the build makes from
// frontend/src/prerender.ts, into what Render runs. Only the version of the
// JavaScript engine that has made it can read it.
func Compile(source string) ([]byte, error) {
	vm, err := quickjs.NewVM()
	if err != nil {
		return nil, fmt.Errorf("start the JavaScript engine: %w", err)
	}
	code, err := vm.Compile(source, quickjs.EvalGlobal)
	if err = errors.Join(err, vm.Close()); err != nil {
		return nil, fmt.Errorf("compile the script that draws the window: %w", err)
	}
	return code, nil
}

// Render draws a window that starts from an opening, which is the JSON of a
// desktop.Opening. Text in it is escaped: it may come from anyone. It gives up
// when one of its few steps takes longer than patience.
func Render(code, opening []byte, v View, patience time.Duration) (p Picture, err error) {
	vm, err := quickjs.NewVM()
	if err != nil {
		return p, fmt.Errorf("start the JavaScript engine: %w", err)
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	if err := vm.SetEvalTimeout(patience); err != nil {
		return p, fmt.Errorf("limit the time for drawing: %w", err)
	}
	vm.SetMemoryLimit(maxMemory)
	if _, err := vm.EvalBytecode(code); err != nil {
		return p, fmt.Errorf("run the script that draws the window: %w", err)
	}
	page := map[string]any{"innerWidth": v.Width, "innerHeight": v.Height, "navigator": map[string]string{"platform": platform()}}
	if _, err := vm.Call("prerender", string(opening), page); err != nil {
		return p, fmt.Errorf("draw the window: %w", err)
	}
	if _, err := vm.ExecutePendingJobs(); err != nil {
		return p, fmt.Errorf("draw the window: %w", err)
	}
	answer, err := vm.Call("prerendered")
	if err != nil {
		return p, fmt.Errorf("draw the window: %w", err)
	}
	drawn, _ := answer.(string)
	if err := json.Unmarshal([]byte(drawn), &p); err != nil {
		return p, fmt.Errorf("read the picture: %w", err)
	}
	if p.Body == "" {
		return p, ErrNoPicture
	}
	return p, nil
}

// platform is navigator.platform, as far as the window looks at it.
func platform() string {
	if runtime.GOOS == "darwin" {
		return "MacIntel"
	}
	return runtime.GOOS
}

package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wailsapp/wails/v2"
	"github.com/wailsapp/wails/v2/pkg/logger"
	wailsoptions "github.com/wailsapp/wails/v2/pkg/options"
	"github.com/wailsapp/wails/v2/pkg/options/assetserver"
	"github.com/wailsapp/wails/v2/pkg/options/linux"
	"github.com/wailsapp/wails/v2/pkg/runtime"

	"parley/backend/chat"
	"parley/backend/desktop"
	"parley/backend/desktop/prerender"
)

// icon is as large as a task bar shows it. A larger one is slow: it goes
// through the X server pixel by pixel before the window is there.
//
//go:embed build/windowicon.png
var icon []byte

const (
	defaultWidth, defaultHeight = 1440, 900
	minWidth, minHeight         = 900, 600

	// frameFile says where the window was when it was closed. It is a file of
	// its own because the window is made before the engine is open.
	frameFile = "window.json"

	// shownPatience is how long a page may take to say that it can be seen
	// before Parley goes online without its word.
	shownPatience = 3 * time.Second
)

// showWindow shows the native window until it is closed or ctx ends.
func showWindow(ctx context.Context, o options, assets fs.FS, _ io.Writer, log *slog.Logger) error {
	if desktop.InUse(o.data) && handOver(ctx, instance(o.data)) {
		log.Info("Parley is already running with this folder; its window is shown", "data", o.data)
		return nil
	}
	gpu := hasGPU()
	if !gpu {
		// Without a GPU this renderer only costs memory and time.
		if err := os.Setenv("WEBKIT_DISABLE_DMABUF_RENDERER", "1"); err != nil {
			log.Warn("set renderer", "error", err)
		}
	}
	ear := &late{}
	shown := make(chan struct{})
	seen := sync.OnceFunc(func() { close(shown) })
	// The engine opens while the window does: neither waits for the other
	// before the page is served.
	engine := &engines{open: func() (*desktop.Engine, error) { return openEngine(ctx, o, ear, shown, log) }}
	f := readFrame(o.data)
	opening := openings(engine.get, ear, drawing(assets, f.page(), log))
	shell := &windowShell{}
	shell.seen = sync.OnceFunc(func() {
		seen()
		// Only now somebody listens in the page: what is told before would be lost, and is read anew instead.
		ear.listen(func(name string, payload any) { runtime.EventsEmit(shell.ctx, name, payload) })
	})
	var dark atomic.Bool
	dark.Store(f.Dark)
	shell.darken = func(now bool) {
		if dark.Swap(now) == now {
			return
		}
		c := frame{Dark: now}.background()
		runtime.WindowSetBackgroundColour(shell.ctx, c.R, c.G, c.B, c.A)
		if kept := readFrame(o.data); kept.placed { // else it is not known where the window is
			kept.Dark = now
			writeFrame(o.data, kept, log)
		}
	}
	policy := linux.WebviewGpuPolicyOnDemand
	if !gpu {
		policy = linux.WebviewGpuPolicyNever
	}
	parting := &closing{handIn: func(ctx context.Context) int { return engine.get().HandIn(ctx) },
		ask: func(question string) bool { return askInWindow(shell.ctx, question, log) }}
	err := wails.Run(&wailsoptions.App{
		Title: "Parley", Width: f.Width, Height: f.Height, MinWidth: minWidth, MinHeight: minHeight,
		WindowStartState: f.start(),
		BackgroundColour: f.background(),
		AssetServer: &assetserver.Options{Assets: assets, Handler: files(engine.get), Middleware: func(next http.Handler) http.Handler {
			return strict(answered(next, assets, opening), assets)
		}},
		Bind:               []any{&App{engine: engine.get, retry: engine.retry, shell: shell}},
		ErrorFormatter:     formatError,
		LogLevelProduction: logger.ERROR,
		DragAndDrop:        &wailsoptions.DragAndDrop{DisableWebViewDrop: true}, // a dropped file must not replace the window
		SingleInstanceLock: &wailsoptions.SingleInstanceLock{
			UniqueId: instance(o.data),
			OnSecondInstanceLaunch: func(wailsoptions.SecondInstanceData) {
				runtime.WindowUnminimise(shell.ctx)
				runtime.WindowShow(shell.ctx)
			},
		},
		OnStartup: func(wctx context.Context) {
			shell.ctx = wctx
			f.place(wctx)
			time.AfterFunc(shownPatience, seen)                   // from here, so that a page that never comes keeps nobody offline
			context.AfterFunc(ctx, func() { runtime.Quit(wctx) }) // a signal closes the window like a click
		},
		OnBeforeClose: func(wctx context.Context) bool {
			keepFrame(wctx, o.data, dark.Load(), log)
			return parting.stays(ctx)
		},
		OnShutdown: func(context.Context) { ear.to.Store(nil) },
		Linux:      &linux.Options{Icon: icon, ProgramName: "parley", WebviewGpuPolicy: policy},
	})
	if closed := engine.get().Close(); closed != nil {
		log.Warn("close engine", "error", closed)
	}
	return err
}

// files serves what the engine keeps, once it is open.
func files(engine func() *desktop.Engine) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { engine().Files().ServeHTTP(w, r) })
}

// formatError makes every error of a method {code, message}.
func formatError(err error) any {
	return map[string]string{"code": string(chat.ErrorCode(err)), "message": chat.ErrorMessage(err)}
}

// instance names the one program that may run with a data folder.
func instance(data string) string {
	sum := sha256.Sum256([]byte(data))
	return "parley" + hex.EncodeToString(sum[:8])
}

func hasGPU() bool {
	_, err := os.Stat("/dev/dri")
	return err == nil
}

// frame is where the window is.
type frame struct {
	X         int  `json:"x"`
	Y         int  `json:"y"`
	Width     int  `json:"width"`
	Height    int  `json:"height"`
	Maximised bool `json:"maximised"`
	// Full is how large it is when it is maximised; zero if it never was.
	Full size `json:"full,omitzero"`
	// Dark is what the window was last: before the page is painted, it is seen empty.
	Dark bool `json:"dark,omitempty"`
	// Screens are those there were, in the order of the system: it says how
	// large they are, and not where they stand.
	Screens []size `json:"screens,omitempty"`
	placed  bool   // X and Y are known
}

type size struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

// screens gives the sizes of the screens there are, none if that is not known.
func screens(ctx context.Context) (sizes []size) {
	all, err := runtime.ScreenGetAll(ctx)
	if err != nil {
		return nil
	}
	for _, s := range all {
		sizes = append(sizes, size{s.Size.Width, s.Size.Height})
	}
	return sizes
}

// readFrame gives where the window was, or the default.
func readFrame(data string) frame {
	f := frame{Width: defaultWidth, Height: defaultHeight}
	raw, err := os.ReadFile(filepath.Join(data, frameFile))
	var kept frame
	if err != nil || json.Unmarshal(raw, &kept) != nil {
		return f
	}
	kept.Width, kept.Height, kept.placed = max(kept.Width, minWidth), max(kept.Height, minHeight), true
	return kept
}

func (f frame) start() wailsoptions.WindowStartState {
	if f.Maximised {
		return wailsoptions.Maximised
	}
	return wailsoptions.Normal
}

// background is the colour of the window before the page is painted: that of
// its list, which the tokens name --bg-list.
func (f frame) background() *wailsoptions.RGBA {
	if f.Dark {
		return wailsoptions.NewRGB(19, 23, 22)
	}
	return wailsoptions.NewRGB(248, 248, 247)
}

// page is how large the page in the window will be; zero if that is not known.
func (f frame) page() prerender.View {
	if f.Maximised {
		return prerender.View(f.Full)
	}
	return prerender.View{Width: f.Width, Height: f.Height}
}

// place puts the window where it was, if that is still on a screen. Else it is
// where the system puts a new one.
func (f frame) place(ctx context.Context) {
	if f.placed && !f.Maximised && f.visible(screens(ctx)) {
		runtime.WindowSetPosition(ctx, f.X, f.Y)
	}
}

// visible reports whether the window's corner is on one of the screens, as far
// as their sizes tell. Left of the main one, or above it, another one stands
// for sure only while they are the same as when the window was there.
func (f frame) visible(now []size) bool {
	width, height, tallest := 0, 0, 0
	for _, s := range now {
		width += s.Width
		height += s.Height
		tallest = max(tallest, s.Height)
	}
	const rest = 100 // of the window must be left to take hold of
	if slices.Equal(now, f.Screens) {
		return -width < f.X && f.X < width-rest && -height < f.Y && f.Y < height-rest
	}
	return f.X >= 0 && f.Y >= 0 && f.X < width-rest && f.Y < tallest-rest
}

// keepFrame remembers where the window is. Of a maximised one the size before
// is kept, so that it has somewhere to go back to.
func keepFrame(ctx context.Context, data string, dark bool, log *slog.Logger) {
	if runtime.WindowIsMinimised(ctx) {
		return
	}
	f := readFrame(data)
	f.Dark = dark
	f.Maximised = runtime.WindowIsMaximised(ctx)
	if f.Maximised {
		f.Full.Width, f.Full.Height = runtime.WindowGetSize(ctx)
	} else {
		f.Width, f.Height = runtime.WindowGetSize(ctx)
		f.X, f.Y = runtime.WindowGetPosition(ctx)
		f.Screens = screens(ctx)
	}
	writeFrame(data, f, log)
}

func writeFrame(data string, f frame, log *slog.Logger) {
	b, err := json.Marshal(f)
	if err == nil {
		err = os.WriteFile(filepath.Join(data, frameFile), b, 0o600)
	}
	if err != nil {
		log.Warn("remember window", "error", err)
	}
}

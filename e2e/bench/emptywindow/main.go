// Command emptywindow is the least that a Wails window can be: one line of text. It is the limit that the figures of
// the real window stand beside, because nobody can start faster or be smaller than this with the same toolkit.
package main

import (
	_ "embed"
	"fmt"
	"net/http"
	"os"

	"github.com/wailsapp/wails/v2"
	"github.com/wailsapp/wails/v2/pkg/options"
	"github.com/wailsapp/wails/v2/pkg/options/assetserver"
	"github.com/wailsapp/wails/v2/pkg/options/linux"
)

//go:embed index.html
var page []byte

// keysPage answers every press of a key with another text.
//
//go:embed keys.html
var keysPage []byte

func main() {
	if len(os.Args) > 1 && os.Args[1] == "keys" {
		page = keysPage
	}
	show := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	err := wails.Run(&options.App{
		Title: "Empty", Width: 1440, Height: 900,
		AssetServer: &assetserver.Options{Handler: show},
		Linux:       &linux.Options{ProgramName: "emptywindow", WebviewGpuPolicy: linux.WebviewGpuPolicyNever},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "emptywindow:", err)
		os.Exit(1)
	}
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/wailsapp/wails/v2/pkg/runtime"
)

// closePatience is how long a window that is being closed waits for what was
// just written to arrive.
const closePatience = 3 * time.Second

// closing is what happens between the wish to close the window and its end:
// what is held to be taken back goes out, and if something has to wait for the
// next start, the person hears of it and may stay.
type closing struct {
	handIn func(ctx context.Context) (left int)
	ask    func(question string) (yes bool)
	busy   atomic.Bool
}

// stays reports whether the window stays open. Nobody is asked when forced is
// done: the system is being shut down, or somebody has ended the program.
func (c *closing) stays(forced context.Context) bool {
	if c.busy.Swap(true) {
		return forced.Err() == nil // the first wish is being dealt with
	}
	defer c.busy.Store(false)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(forced), closePatience)
	defer cancel()
	handed := make(chan int, 1)
	// The engine may still be opening, or its disk may not answer: nobody waits for that here.
	go func() { handed <- c.handIn(ctx) }()
	left := 0
	select {
	case left = <-handed:
	case <-ctx.Done():
		select {
		case left = <-handed:
		case <-time.After(100 * time.Millisecond): // it has just been told to come to an end
		}
	}
	return left > 0 && forced.Err() == nil && !c.ask(unsentQuestion(left))
}

// unsentQuestion must be one for Yes and No: not every system lets us name the
// buttons.
func unsentQuestion(n int) string {
	if n == 1 {
		return "1 message has not been sent yet. It is kept on this computer, and goes out when Parley is open again and online. Close anyway?"
	}
	return fmt.Sprintf("%d messages have not been sent yet. They are kept on this computer, and go out when Parley is open again and online. Close anyway?", n)
}

const closeAnyway = "Close anyway"

// askInWindow asks in a dialog of the system.
func askInWindow(window context.Context, question string, log *slog.Logger) (yes bool) {
	answer, err := runtime.MessageDialog(window, runtime.MessageDialogOptions{Type: runtime.QuestionDialog, Title: "Parley", Message: question,
		Buttons: []string{closeAnyway, "Stay"}, DefaultButton: "Stay", CancelButton: "Stay"})
	if err != nil {
		log.Warn("ask before closing", "error", err)
		return true // a window that cannot ask must not be one that cannot be closed
	}
	return answer == closeAnyway || answer == "Yes"
}

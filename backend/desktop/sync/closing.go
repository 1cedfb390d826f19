package sync

import (
	"errors"

	"parley/backend/protocol"
)

// lostBy turns the error of a socket into the machine's event.
func lostBy(gen int, err error) Lost {
	ev := Lost{Gen: gen, Err: err}
	var closed *protocol.Closed
	if errors.As(err, &closed) {
		ev.Code, ev.RetryAfter = closed.Code, closed.RetryAfter
	}
	return ev
}

package sync

import (
	"errors"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// applied takes the cache's answer to Apply.
func (m *Machine) applied(ev Applied) {
	m.written(ev.Err)
	if ev.Err != nil {
		m.pullAt = m.now.Mono + behindGrace
		return
	}
	m.position = ev.Position
	m.head = max(m.head, m.position)
	m.gained, m.unknown = m.gained || ev.Gained, m.unknown || ev.Unknown
	if m.head > m.position {
		m.behind, m.behindAt = true, m.now.Mono // still getting on: not stuck
	}
	m.check()
}

// written takes it that the cache could, or could not, be written.
func (m *Machine) written(err error) {
	switch {
	case err != nil:
		if !m.stuck {
			m.writeAt = m.now.Mono + writeAgain
		}
		m.stuck, m.problem = true, chat.ErrorMessage(err)
	case m.stuck:
		m.stuck, m.problem = false, ""
	}
}

// pull asks for the next page, unless one is on its way or must wait.
func (m *Machine) pull() {
	if m.pulling || !m.loaded || m.filling == FillState || m.filling == FillBootstrap || m.now.Mono < m.pullAt {
		return
	}
	m.pulling = true
	m.do(Pull{m.position, m.epoch})
}

// fetched takes the answers of pulls and fills.
func (m *Machine) fetched(ev Event) {
	switch ev := ev.(type) {
	case Pulled:
		m.pulled(ev.Page)
	case PullFailed:
		m.pulling = false
		m.failed(ev.Err, func() { m.pullAt = m.now.Mono + max(m.delay(&m.pulls), retryAfter(ev.Err)) })
	case Filling:
		if ev.Gen != m.fillGen || !m.fillBusy {
			return
		}
		m.done, m.total = ev.Done, ev.Total
		m.well()
	case Filled:
		if ev.Gen == m.fillGen && m.fillBusy {
			m.filled(ev)
		}
	case FillFailed:
		if ev.Gen != m.fillGen || !m.fillBusy {
			return
		}
		m.fillBusy = false
		if ev.Local {
			m.written(ev.Err)
			m.fillAt = m.now.Mono + behindGrace
			return
		}
		m.failed(ev.Err, func() { m.fillAt = m.now.Mono + max(m.delay(&m.fills), retryAfter(ev.Err)) })
	}
}

func (m *Machine) pulled(page protocol.ChangesPage) {
	m.pulling, m.pulls = false, 0
	if page.Epoch != "" && m.epoch != "" && page.Epoch != m.epoch {
		m.reset()
		return
	}
	m.head = max(m.head, page.Head)
	if m.filling == FillState || m.filling == FillBootstrap {
		return
	}
	if page.From == m.position && page.To > m.position {
		m.apply(page.Packet)
		if page.More {
			m.lag()
			// Ask for what follows while this page is being written.
			m.pulling = true
			m.do(Pull{page.To, m.epoch})
		}
		return
	}
	if page.More || m.head > m.position { // the socket has been faster; ask again from where we are
		m.pull()
	}
	m.check()
}

func (m *Machine) filled(ev Filled) {
	kind := m.filling
	m.stuck, m.problem = false, ""
	m.filling, m.fillBusy, m.fills, m.done, m.total = "", false, 0, 0, 0
	m.gained, m.unknown = m.gained || ev.Gained, ev.Unknown
	m.unproven()
	if kind == FillGained {
		m.check()
		return
	}
	m.position, m.epoch, m.loaded, m.another = ev.Position, ev.Epoch, true, false
	if kind == FillBootstrap {
		m.head = ev.Position
		m.dialAt = m.now.Mono
		return
	}
	m.head = max(m.head, ev.Position)
	m.pull()
}

// failed sorts the ways a request can fail; retry sets when to try again.
func (m *Machine) failed(err error, retry func()) {
	switch chat.ErrorCode(err) {
	case chat.CodeUnauthorized:
		m.end(protocol.IsWipe(err))
		return
	case chat.CodeFarBehind:
		if m.filling == "" || m.filling == FillGained {
			m.want(FillState)
			return
		}
		if m.filling == FillState {
			m.want(FillBootstrap) // even the state is too old
			return
		}
	case chat.CodeReset:
		m.reset()
		return
	}
	retry()
	if m.socket != socketWelcomed {
		m.troubled(m.now)
	}
	if !protocol.IsUnreachable(err) || protocol.IsUntrusted(err) {
		m.problem = chat.ErrorMessage(err)
	}
}

// want starts a fill, or turns the one under way into another.
func (m *Machine) want(kind FillKind) {
	switch {
	case kind == FillBootstrap:
		m.gained = false // it loads everything there is to see
	case m.filling == FillGained && kind == FillState:
		m.gained = true // afterwards, anew
	}
	if kind == FillState {
		m.lag()
	}
	m.filling, m.fillBusy, m.fillAt, m.done, m.total = kind, false, m.now.Mono, 0, 0
}

// reset forgets the position: the log is another one, also where it goes by the
// same epoch. Rows stay readable until the bootstrap has named what there is.
// Who is told so again and again, by servers that contradict each other, rests
// in between.
func (m *Machine) reset() {
	if m.filling == FillBootstrap && m.fillBusy {
		return
	}
	if m.socket == socketWelcomed && m.now.Mono-m.openedAt > healthy {
		m.resets = 0
	}
	if m.socket != socketNone {
		m.do(Abandon{m.gen})
		m.socket = socketNone
	}
	m.position, m.head, m.epoch, m.loaded, m.behind, m.another = 0, 0, "", false, false, true
	m.unproven()
	m.want(FillBootstrap)
	if rest := m.delay(&m.resets); m.resets > 1 {
		m.fillAt = m.now.Mono + rest
	}
}

// retryAfter is how long the server asks to wait.
func retryAfter(err error) time.Duration {
	var e *chat.Error
	if errors.As(err, &e) {
		return min(e.RetryAfter, 10*time.Minute)
	}
	return 0
}

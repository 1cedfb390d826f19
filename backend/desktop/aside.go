package desktop

import (
	"context"
	"encoding/json"
	"fmt"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
)

const (
	// settingAside keeps where a damaged local.db is, in the one that took its
	// place, until the member has seen it.
	settingAside = "warning.local_set_aside"
	warningAside = "local_set_aside"

	// RemedySetAside: SetAside helps against what keeps the account from opening.
	RemedySetAside = "set_aside"
)

// SetAside begins anew what only this device knows of the account that cannot be
// opened because that file is damaged. The file is kept; what was not on the
// server yet (texts that were not sent, drafts) stays in it, out of reach.
func (e *Engine) SetAside() error {
	reply := make(chan error, 1)
	return e.ask(setAside{reply}, reply)
}

// setAside: the person wants the damaged file of the account set aside.
type setAside struct{ reply chan error }

func (setAside) event() {}

func (e *Engine) asidePut(st *state) error {
	i := st.find(st.wanted)
	if st.session != nil || i < 0 || !st.damaged {
		return nil // it has opened meanwhile
	}
	kept, err := cache.SetLocalAside(e.folder(st.wanted), e.opt.Wall())
	if err != nil {
		e.log.Error("set local data aside", "account", st.wanted, "error", err)
		return chat.Errorf(chat.CodeUnavailable, "The damaged file could not be set aside. Nothing was changed.")
	}
	e.log.Warn("local data was damaged and is set aside", "account", st.wanted, "kept", kept)
	e.open(st, st.accounts[i])
	e.tell.everything()
	if st.session == nil {
		return chat.Errorf(chat.CodeUnavailable, "%s", st.problem)
	}
	b, err := json.Marshal(kept)
	if err == nil {
		err = st.session.local.PutSetting(context.WithoutCancel(e.ctx), settingAside, b)
	}
	if err != nil {
		e.log.Warn("keep where the damaged file is", "error", err) // it is in the log above
	}
	e.keep(st)
	return nil
}

// asideWarning says what was set aside, and where it is kept.
func (s *session) asideWarning(ctx context.Context) ([]Warning, error) {
	raw, ok, err := s.local.Setting(ctx, settingAside)
	var kept string
	if err != nil || !ok || json.Unmarshal(raw, &kept) != nil {
		return nil, err
	}
	return []Warning{{Code: warningAside, Message: fmt.Sprintf(
		"What only this computer knew was damaged, and was begun anew. Texts and drafts that were not on the server yet are not here any more. The old file is kept as %s.", kept)}}, nil
}

package desktop

import (
	"context"
	"errors"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
)

// What was written and not sent is sealed, in local.db and in cache.db; the key
// that opens it is in the keychain, which may be locked or ask its owner first. An account
// therefore opens without it if it does not come soon: everything that is
// cached can be read, what is written is sealed as always, and once the key is
// there the account is opened again, with all that was waiting.

// keyPatience is how long opening an account waits for the key.
const keyPatience = time.Second

func keySecretOf(account, key string) string { return "key-" + account + "-" + key }

// keyAnswer is what the keychain said. Without an error these are the keys of
// what is in the file that are there, the last in use first, or, where there is
// none, a new one that is kept already.
type keyAnswer struct {
	keys []cache.Key
	err  error
}

// findKeys gets those of an account's keys that the keychain has, or makes one.
func (e *Engine) findKeys(account string, ids []string) keyAnswer {
	var found []cache.Key
	for _, id := range ids {
		key, err := e.keptKey(account, id)
		switch {
		case err == nil:
			found = append(found, key)
		case chat.ErrorCode(err) != chat.CodeNotFound:
			return keyAnswer{err: err}
		default:
			e.log.Warn("a key of what was not sent is lost", "account", account, "key", id)
		}
	}
	if len(found) > 0 {
		return keyAnswer{keys: found}
	}
	key, err := cache.NewKey()
	if err != nil {
		return keyAnswer{err: err}
	}
	secret, err := key.Secret()
	if err == nil {
		err = e.secrets.Put(keySecretOf(account, key.ID()), secret)
	}
	if err == nil {
		e.keys.Store(account+key.ID(), key)
	}
	return keyAnswer{[]cache.Key{key}, err}
}

func (e *Engine) keptKey(account, id string) (cache.Key, error) {
	if k, ok := e.keys.Load(account + id); ok {
		return k.(cache.Key), nil
	}
	secret, err := e.secrets.Get(keySecretOf(account, id))
	if err != nil {
		return cache.Key{}, err
	}
	key, err := cache.ParseKey(secret)
	if err != nil || key.ID() != id {
		return cache.Key{}, &chat.Error{Code: chat.CodeNotFound, Message: "This is not the key that was kept.", Cause: err}
	}
	e.keys.Store(account+id, key)
	return key, nil
}

// unseal gives local.db its key. It waits for it only where something is there
// to be read, or nothing was ever sealed; else, and after keyPatience, that goes
// on behind.
func (s *session) unseal() error {
	waiting, err := s.local.Unreadable(s.ctx)
	if err != nil {
		return err
	}
	cached, err := s.cache.Sealed(s.ctx)
	if err != nil {
		return err
	}
	waiting += cached
	ids, err := s.local.Keys(s.ctx)
	if err != nil {
		return err
	}
	answered := s.askForKeys(ids)
	if len(ids) == 0 || waiting > 0 {
		timer := time.NewTimer(keyPatience)
		defer timer.Stop()
		select {
		case a := <-answered:
			if a.err == nil {
				return s.takeKeys(a.keys)
			}
			s.e.log.Warn("get key", "account", s.account.ID, "error", a.err)
			answered = nil // asked again behind
		case <-timer.C:
		}
		s.locked.Store(waiting > 0)
	}
	s.spawn(func() { s.awaitKeys(ids, answered, waiting) })
	return nil
}

// askForKeys asks the keychain, which cannot be interrupted: its goroutine ends
// when the keychain answers or has had its time.
func (s *session) askForKeys(ids []string) <-chan keyAnswer {
	answered := make(chan keyAnswer, 1)
	go func() { answered <- s.e.findKeys(s.account.ID, ids) }()
	return answered
}

// takeKeys hands the keys to local.db, and to cache.db with it, and counts what
// even they do not open there. What they do not open here is loaded anew. The
// first is used from here on, be it because the one that was is lost.
func (s *session) takeKeys(keys []cache.Key) error {
	ctx := context.WithoutCancel(s.ctx)
	hand := s.local.Unlock
	if keys[0].ID() != s.local.SealedFor() {
		hand = s.local.Seal
	}
	if err := hand(ctx, keys[0], keys[1:]...); err != nil {
		return err
	}
	if err := s.cache.Reseal(ctx); err != nil {
		s.e.log.Warn("seal what is cached", "account", s.account.ID, "error", err) // again at the next start
	}
	lost, err := s.local.Unreadable(ctx)
	s.lost.Store(int64(lost))
	return err
}

// awaitKeys waits for the keys and asks again for as long as it takes.
func (s *session) awaitKeys(ids []string, answered <-chan keyAnswer, waiting int) {
	for n := 0; ; n++ {
		if answered == nil {
			timer := time.NewTimer(s.e.backoff(n))
			select {
			case <-timer.C:
			case <-s.ctx.Done():
				timer.Stop()
				return
			}
			answered = s.askForKeys(ids)
		}
		select {
		case a := <-answered:
			answered = nil
			if a.err == nil {
				a.err = s.takeKeys(a.keys)
			}
			if a.err == nil {
				s.unsealed(waiting)
				return
			}
			s.e.log.Warn("get key", "account", s.account.ID, "error", a.err)
		case <-s.ctx.Done():
			return
		}
	}
}

// unsealed opens the account again if there is more to be read now, or to be
// loaded anew.
func (s *session) unsealed(waiting int) {
	s.locked.Store(false)
	if waiting > int(s.lost.Load()) {
		s.post(unlocked{s})
		return
	}
	s.e.tell.state()
}

// sealWarnings says what cannot be read, and what becomes of it.
func (s *session) sealWarnings() []Warning {
	switch {
	case s.locked.Load():
		return []Warning{{Code: "keychain_locked", Message: "The keychain of this system is locked, so what you had written and not sent is not shown yet. It is safe, and comes back by itself when you unlock the keychain."}}
	case s.lost.Load() > 0:
		return []Warning{{Code: "key_lost", Message: "Some of what you had written and not sent cannot be read any more: its key is not in the keychain of this system. It is kept on this device in case the keychain is restored; please write it again if it is still needed."}}
	}
	return nil
}

// forgetUnsent deletes local.db of an account that was taken away, and the keys
// to it, if nothing in it waits for its author to come back.
func (e *Engine) forgetUnsent(account string) error {
	local, err := cache.OpenLocalOn(e.opt.Disk, e.folder(account))
	if err != nil {
		return err
	}
	ctx := context.WithoutCancel(e.ctx)
	empty, err := local.Empty(ctx)
	keys, keysErr := local.Keys(ctx)
	if err := errors.Join(err, keysErr, local.Close()); err != nil || !empty {
		return err
	}
	if err := cache.WipeLocal(e.folder(account)); err != nil {
		return err
	}
	var errs []error
	for _, key := range keys {
		e.keys.Delete(account + key)
		errs = append(errs, e.secrets.Delete(keySecretOf(account, key)))
	}
	return errors.Join(errs...)
}

package cache

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	// tailPiece is how many notes of what is not in the index a search reads at
	// once: they come in the order of arrival, the last first.
	tailPiece = 2000
	// tailTime is how long it goes on. Then what is older is found as soon as it
	// is indexed: see Options.OnIndexed.
	tailTime = 150 * time.Millisecond
)

// tail gives the hits among the messages that are not in the index yet, all of
// them or as many as there is time for.
func (f *finding) tail(ctx context.Context) (list []found, err error) {
	began, before := time.Now(), int64(math.MaxInt64)
	for {
		ranges, next, err := f.c.waitingKeys(ctx, before, tailPiece)
		if err != nil || len(ranges) == 0 {
			return list, err
		}
		some, err := f.among(ctx, ranges)
		if err != nil {
			return nil, err
		}
		list, before = append(list, some...), next
		if time.Since(began) > f.c.tailTime {
			f.c.hurried.Store(true)
			// The last of it may have been indexed just before that was said.
			if left, _, err := f.c.waitingKeys(ctx, math.MaxInt64, 1); err == nil && len(left) == 0 {
				f.c.indexedAll()
			}
			return list, nil
		}
	}
}

// waitingKeys gives messages that are not in the index yet, those that came
// last first: from before a note on, and from as many whole notes as it takes to
// have that many ranges. It says where to go on.
func (c *Cache) waitingKeys(ctx context.Context, before int64, enough int) (list []keyRange, next int64, err error) {
	rows, err := c.find.query(ctx, "select n, keys from unindexed where n < ? order by n desc", before)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for next = before; len(list) < enough && rows.Next(); {
		var b sql.RawBytes
		if err := rows.Scan(&next, &b); err != nil {
			return nil, 0, err
		}
		some, err := unpackKeys(b)
		if err != nil {
			return nil, 0, err
		}
		slices.Reverse(some)
		list = append(list, some...)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("read what is not indexed: %w", err)
	}
	return list, next, nil
}

// indexedAll tells whoever wants to know that a search has left out what is
// found now.
func (c *Cache) indexedAll() {
	if c.hurried.Swap(false) && c.onIndexed != nil {
		c.onIndexed()
	}
}

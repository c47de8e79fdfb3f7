package sqlstore

import (
	"context"
	"database/sql"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// skew is how much longer rows are kept than they live: another process's clock may be late.
	skew = 5 * time.Minute

	batchTime = 30 * time.Second // bounds one batch
)

// A cleanup removes expired rows of one table.
type cleanup struct {
	cutoff func(now time.Time) int64
	batch  string // removes one batch; each parameter is the cutoff
	cron   string // removes all, by the clock of the database
}

// cutoffHour is the cutoff of sessions.
func cutoffHour(now time.Time) int64 { return now.Add(-skew).UnixMilli() / hour }

// cutoffMilli is the cutoff of the lists of users' sessions.
func cutoffMilli(now time.Time) int64 { return now.Add(-skew).UnixMilli() }

// newCleanups returns the cleanups of both tables.
func newCleanups(dialect Dialect, write func(string) string, batch int) []cleanup {
	one := func(table, column, key, on string, cutoff func(time.Time) int64, cron string) cleanup {
		parts := strings.NewReplacer("TABLE", table, "COLUMN", column, "KEY", key, "JOINED", on, "BATCH", strconv.Itoa(batch))
		return cleanup{
			cutoff: cutoff, batch: write(parts.Replace(dialect.batch())), cron: write("DELETE FROM " + table + " WHERE " + cron),
		}
	}
	now := dialect.nowMilli()
	return []cleanup{
		one("{sessions}", "sweep_hour", "id", "t.id = x.id",
			cutoffHour, "sweep_hour <= "+now+" / "+strconv.FormatInt(hour, 10)),
		one("{users}", "ends_ms", "user_key, id", "t.user_key = x.user_key AND t.id = x.id",
			cutoffMilli, "ends_ms <= "+now),
	}
}

// batch returns the pattern of the statement that removes one batch. Rows that a request has locked
// are left for the next time, where the database can skip them. Each row is then found by its place or
// its primary key, never by reading past others, which may be locked.
func (d Dialect) batch() string {
	switch d {
	case Postgres:
		return `DELETE FROM TABLE WHERE ctid = ANY (ARRAY(
			SELECT ctid FROM TABLE WHERE COLUMN <= ? LIMIT BATCH FOR UPDATE SKIP LOCKED)) AND COLUMN <= ?`
	case MySQL:
		return `DELETE t FROM (SELECT KEY FROM TABLE WHERE COLUMN <= ? LIMIT BATCH FOR UPDATE SKIP LOCKED) AS x
			STRAIGHT_JOIN TABLE AS t FORCE INDEX (PRIMARY) ON JOINED`
	}
	return `DELETE FROM TABLE WHERE rowid IN (SELECT rowid FROM TABLE WHERE COLUMN <= ? LIMIT BATCH)`
}

// nowMilli returns an expression for the database's clock less skew, in whole milliseconds.
func (d Dialect) nowMilli() string {
	back := strconv.FormatInt(skew.Milliseconds(), 10)
	switch d {
	case Postgres:
		return "(floor(extract(epoch FROM now()) * 1000)::bigint - " + back + ")"
	case MySQL:
		return "(UNIX_TIMESTAMP() * 1000 - " + back + ")"
	}
	return "(CAST(strftime('%s', 'now') AS INTEGER) * 1000 - " + back + ")"
}

// CleanupSQL returns statements that remove all expired rows, by the clock of the database. Run
// them from cron or pg_cron if Options.CleanupInterval is negative.
func (d *Driver) CleanupSQL() []string {
	var all []string
	for _, c := range d.table.text.cleanups {
		all = append(all, c.cron)
	}
	return all
}

// Cleanup removes all expired rows, in batches with pauses in between, and returns their number.
// Several processes may run it at the same time.
func (d *Driver) Cleanup(ctx context.Context) (removed int64, err error) { return d.table.cleanup(ctx) }

func (t *table) cleanup(ctx context.Context) (removed int64, err error) {
	now := time.Now()
	for i := range t.text.cleanups {
		for full := true; full; {
			start := time.Now()
			var n int64
			if n, err = t.removeBatch(ctx, &t.text.cleanups[i], now); err != nil {
				return removed, err
			}
			removed += n
			if full = n > 0; full {
				if err := sleep(ctx, time.Since(start)*t.dialect.rest()); err != nil {
					return removed, err
				}
			}
		}
	}
	return removed, nil
}

// rest returns how many times as long as a batch the pause after it is. In SQLite, where nobody else
// writes meanwhile, a batch is short. It changes about a page a row, though, which a later commit
// moves into the file and waits for (a checkpoint). So few commits must meet that.
func (d Dialect) rest() time.Duration {
	if d == SQLite {
		return 19
	}
	return 3
}

// removeBatch removes one batch of expired rows.
func (t *table) removeBatch(ctx context.Context, c *cleanup, now time.Time) (removed int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, batchTime)
	defer cancel()
	args := []any{c.cutoff(now)}
	if t.dialect == Postgres {
		args = append(args, args[0])
	}
	err = t.transact(ctx, "clean up", func(ctx context.Context, tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, c.batch, args...)
		if err == nil {
			removed, err = result.RowsAffected()
		}
		return err
	})
	return removed, err
}

// A cleaner calls cleanup from time to time.
type cleaner struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// start starts the goroutine, unless the options ask for none.
func (c *cleaner) start(t *table, o Options) {
	if o.CleanupInterval < 0 {
		return
	}
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.Background())
	c.done.Go(func() {
		for sleep(ctx, jitter(o.CleanupInterval)) == nil {
			if _, err := t.cleanup(ctx); err != nil && ctx.Err() == nil {
				logger := o.Logger
				if logger == nil {
					logger = slog.Default()
				}
				logger.WarnContext(ctx, "session: expired rows were not removed", "error", err)
			}
		}
	})
}

func (c *cleaner) stop() {
	if c.cancel != nil {
		c.cancel()
	}
	c.done.Wait()
}

// jitter returns a duration from half of d to one and a half, so that processes that started together
// do not clean up together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

package e2e_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFlashIsSeenOnceAfterTheRedirectAndGoneOnReload(t *testing.T) {
	eachBrowser(t, setup{}, func(t *testing.T, _ *site, b *tab) {
		for _, kind := range []string{"success", "warning", "danger"} {
			b.flash(kind, "straight")
			assert.Equal(t, "/flash/landing", b.path())
			assert.Contains(t, b.alert(), kind)
			assert.Contains(t, eval[string](b, `document.querySelector(".alert").className`), "alert-"+kind)
			b.reload()
			assert.Empty(t, b.alert(), "shown again after a reload")
		}
	})
}

func TestPicturesScriptsPollsAndPrefetchesDoNotRemoveAFlashMessage(t *testing.T) {
	eachBrowser(t, setup{}, func(t *testing.T, _ *site, b *tab) {
		b.visit("/")
		b.addNote("so that there is a session")
		wanted := []string{
			"GET /flash/badge.svg\timage\t200",
			"GET /flash/poll.js\tscript\t200",
			"GET /flash/poll\tempty\t200",
		}
		if b.fox == nil {
			wanted = append(wanted, "GET /\tprefetch\t200", "GET /session\tprefetch\t200")
		} else {
			b.provokes("default-src") // firefox applies it to prefetches too, and has no speculation rules
		}
		for try := 1; ; try++ {
			b.flash("success", "between")
			b.awaits(`location.pathname == "/flash/landing" && document.readyState == "complete"`) // the path changes before the page is loaded
			assert.Contains(t, b.alert(), "success", "the message is gone before its page was loaded")
			rows := b.texts("tbody tr")
			missing := slices.DeleteFunc(slices.Clone(wanted), func(row string) bool { return slices.Contains(rows, row) })
			if len(missing) > 0 && try < 10 {
				continue // the machine is busy, and the next page came first
			}
			assert.Empty(t, missing, "the browser did not ask for it in between: %q", rows)
			break
		}
		b.reload()
		assert.Empty(t, b.alert(), "shown again after a reload")
	})
}

func TestFlashTTLDropsAMessageWhosePageComesTooLate(t *testing.T) {
	eachBrowser(t, setup{flashTTL: 2}, func(t *testing.T, _ *site, b *tab) {
		b.visit("/")
		b.addNote("stays")
		b.flash("success", "later")
		assert.Equal(t, "/flash/landing", b.path())
		assert.Empty(t, b.alert(), "shown after more than two seconds")
		b.visit("/")
		assert.Empty(t, b.alert())
		assert.Equal(t, []string{"stays"}, b.notes(), "the flash TTL removed data")
	})
}

func TestFlashTTLKeepsAMessageWhosePageComesInTime(t *testing.T) {
	eachBrowser(t, setup{flashTTL: 600}, func(t *testing.T, _ *site, b *tab) {
		b.flash("success", "late")
		assert.Contains(t, b.alert(), "success")
	})
}

func TestFlashWithoutTTLWaitsForALatePage(t *testing.T) {
	eachBrowser(t, setup{}, func(t *testing.T, _ *site, b *tab) {
		b.flash("success", "later")
		assert.Contains(t, b.alert(), "success")
	})
}

func TestRefusedFormKeepsWhatWasTyped(t *testing.T) {
	eachBrowser(t, setup{}, func(t *testing.T, _ *site, b *tab) {
		long := strings.TrimSpace(strings.Repeat("much too long ", 20))
		b.visit("/")
		require.Equal(t, 200, b.addNote(long))
		assert.Equal(t, "The note was not added.", b.alert())
		assert.Equal(t, long, eval[string](b, `document.querySelector("#text").value`))
		assert.Equal(t, "279 characters are too many: a note has at most 200.", b.text("#text-error"))
		assert.Equal(t, "text-error", eval[string](b, `document.querySelector("#text[aria-invalid=true]").getAttribute("aria-describedby")`))
		assert.Empty(t, b.notes())
		b.reload()
		assert.Empty(t, eval[string](b, `document.querySelector("#text").value`), "the draft outlived its page")
		assert.Empty(t, b.text("#text-error"))
	})
}

func TestBackButtonNeitherPostsAgainNorBringsAMessageBack(t *testing.T) {
	eachBrowser(t, setup{}, func(t *testing.T, _ *site, b *tab) {
		b.visit("/")
		b.addNote("once")
		require.Equal(t, "Note added.", b.alert())
		b.visit("/flash")
		b.back()
		require.Equal(t, "/", b.path())
		assert.Equal(t, []string{"once"}, b.notes(), "the way back posted the form again")
		b.reload()
		assert.Empty(t, b.alert(), "the server sent the message once more")
		assert.Equal(t, []string{"once"}, b.notes())
	})
}

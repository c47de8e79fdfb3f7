package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session"
	"example.com/session/sessiontest"
)

const password = "correct horse battery"

// open serves a shop of its own, and returns a browser of it.
func open(t *testing.T) (*sessiontest.Browser, *session.Manager) {
	manager, err := session.NewManager(config())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, manager.Close()) })
	return sessiontest.NewBrowser(t, newShop(manager, newUsers(1000))), manager
}

func signUp(b *sessiontest.Browser, name string) sessiontest.Page {
	return b.Post("/sign-up", url.Values{"name": {name}, "password": {password}})
}

func signIn(b *sessiontest.Browser, name, password string, more ...string) sessiontest.Page {
	form := url.Values{"name": {name}, "password": {password}}
	for _, field := range more {
		form.Set(field, "1")
	}
	return b.Post("/sign-in", form)
}

func requireRedirect(t *testing.T, to string, page sessiontest.Page) {
	t.Helper()
	require.Equal(t, http.StatusSeeOther, page.StatusCode, page.Text)
	require.Equal(t, to, page.Header.Get("Location"))
}

func TestSignUpSignsInAndWelcomesOnce(t *testing.T) {
	b, _ := open(t)
	requireRedirect(t, "/", signUp(b, "Ann"))
	page := b.Get("/")
	assert.Contains(t, page.Text, `<b id="user">Ann</b>`)
	assert.Contains(t, page.Text, `<p class="message">Welcome, Ann.</p>`)
	assert.NotContains(t, b.Get("/").Text, "Welcome", "the message is shown again")
	requireRedirect(t, "/", b.Post("/sign-out", nil))
	page = b.Get("/")
	assert.NotContains(t, page.Text, "Ann")
	assert.Contains(t, page.Text, "You are signed out.")
}

func TestAFormThatIsWrongIsShownAgainWithAllFaults(t *testing.T) {
	b, _ := open(t)
	page := b.Post("/sign-up", url.Values{"password": {"short"}})
	assert.Equal(t, http.StatusUnprocessableEntity, page.StatusCode)
	assert.Contains(t, page.Text, `<p class="error">Choose a name.</p><p class="error">The password is too short.</p>`)
	assert.Empty(t, page.Cookies(), "a message of this page only needs no session")
	assert.NotContains(t, b.Get("/sign-in").Text, "error")

	requireRedirect(t, "/", signUp(b, "Ann"))
	page = signUp(b.Another(), "Ann")
	assert.Contains(t, page.Text, "This name is taken.")
	page = signIn(b.Another(), "Ann", "a wrong password")
	assert.Equal(t, http.StatusUnprocessableEntity, page.StatusCode)
	assert.Contains(t, page.Text, `value="Ann"`)
	assert.Equal(t, http.StatusUnprocessableEntity, signIn(b.Another(), "Ben", "").StatusCode, "there is no Ben")
}

func TestAVisitorIsBroughtBackAfterTheSignIn(t *testing.T) {
	b, _ := open(t)
	signUp(b, "Ann")
	ann := b.Another()
	requireRedirect(t, "/sign-in", ann.Get("/devices"))
	requireRedirect(t, "/devices", signIn(ann, "Ann", password))
	requireRedirect(t, "/", signIn(ann, "Ann", password))
}

func TestRememberKeepsTheUserForThirtyDays(t *testing.T) {
	b, _ := open(t)
	requireRedirect(t, "/", signUp(b, "Ann"))
	cookie := signIn(b, "Ann", password, "remember").Cookie("s_memory")
	require.NotNil(t, cookie)
	assert.InDelta(t, rememberFor.Seconds(), cookie.MaxAge, 5)
	cookie = signIn(b, "Ann", password).Cookie("s_memory")
	require.NotNil(t, cookie)
	assert.InDelta(t, 24*60*60, cookie.MaxAge, 5, "a sign-in without the box takes it back")
}

func TestAUserSignsInAgainAfterHalfAnHourAndKeepsTheCart(t *testing.T) {
	manager, err := session.NewManager(config())
	require.NoError(t, err)
	defer manager.Close()
	clock := sessiontest.NewClock(manager)
	b := sessiontest.NewBrowser(t, newShop(manager, newUsers(1000)))
	signUp(b, "Ann")
	b.Post("/cart/mug", nil)
	clock.Advance(31 * time.Minute)
	page := b.Get("/")
	assert.Contains(t, page.Text, "You were away for a while")
	requireRedirect(t, "/sign-in", b.Get("/upload"))
	requireRedirect(t, "/upload", signIn(b, "Ann", password))
	assert.Contains(t, b.Get("/").Text, "1 in the cart")
}

var endLink = regexp.MustCompile(`action="(/devices/[\w-]{22}/end)"`)

func TestDevicesAreListedAndEnded(t *testing.T) {
	b, _ := open(t)
	signUp(b, "Ann")
	phone, laptop := b.Another(), b.Another()
	for agent, device := range map[string]*sessiontest.Browser{"phone": phone, "laptop": laptop} {
		form := strings.NewReader(url.Values{"name": {"Ann"}, "password": {password}}.Encode())
		page := device.Do("POST", "/sign-in", form,
			"Content-Type", "application/x-www-form-urlencoded", "User-Agent", agent)
		requireRedirect(t, "/", page)
	}
	page := laptop.Get("/devices")
	assert.Contains(t, page.Text, "<td>phone</td>")
	assert.Contains(t, page.Text, "<td>laptop (this device)</td>")
	rows := strings.Split(page.Text, "<tr>")
	require.Len(t, rows, 4)
	for _, row := range rows {
		if strings.Contains(row, "phone") {
			requireRedirect(t, "/devices", laptop.Post(endLink.FindStringSubmatch(row)[1], nil))
		}
	}
	requireRedirect(t, "/sign-in", phone.Get("/devices"))
	requireRedirect(t, "/devices", laptop.Post("/devices/end-others", nil))
	requireRedirect(t, "/sign-in", b.Get("/devices"))
	own := endLink.FindStringSubmatch(laptop.Get("/devices").Text)
	requireRedirect(t, "/", laptop.Post(own[1], nil))
	assert.Contains(t, laptop.Get("/").Text, "You are signed out.")
}

func TestParallelRequestsAllReachTheCart(t *testing.T) {
	b, _ := open(t)
	requireRedirect(t, "/", b.Post("/cart/mug", nil))
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			response, err := b.Client.Post(b.URL+"/api/cart/pot", "", nil)
			if assert.NoError(t, err) {
				assert.Equal(t, http.StatusOK, response.StatusCode)
				response.Body.Close()
			}
		})
	}
	group.Wait()
	assert.JSONEq(t, `{"mug": 1, "pot": 20}`, b.Get("/api/cart").Text)
	assert.Contains(t, b.Get("/").Text, "21 in the cart")
}

func TestTheCartOfAVisitorStaysAtTheSignInAndEndsWithTheSignOut(t *testing.T) {
	b, _ := open(t)
	assert.JSONEq(t, `{}`, b.Get("/api/cart").Text)
	b.Post("/cart/tin", nil)
	signUp(b, "Ann")
	assert.JSONEq(t, `{"tin": 1}`, b.Get("/api/cart").Text)
	b.Post("/sign-out", nil)
	assert.JSONEq(t, `{}`, b.Get("/api/cart").Text)
}

func TestAPIAnswersInJSON(t *testing.T) {
	b, manager := open(t)
	page := b.Get("/api/account")
	assert.Equal(t, http.StatusUnauthorized, page.StatusCode)
	assert.JSONEq(t, `{"error": "sign in first"}`, page.Text)
	assert.Empty(t, page.Cookies())
	assert.Equal(t, http.StatusNotFound, b.Post("/api/cart/car", nil).StatusCode)

	signUp(b, "Ann")
	page = b.Get("/api/account")
	assert.Contains(t, page.Text, `"name":"Ann"`)
	assert.Equal(t, "application/json", page.Header.Get("Content-Type"))

	require.NoError(t, manager.Close())
	page = b.Get("/api/cart")
	assert.Equal(t, http.StatusServiceUnavailable, page.StatusCode)
	assert.JSONEq(t, `{"error": "please try again"}`, page.Text)
}

func TestHTMXGetsFragmentsAndRedirects(t *testing.T) {
	b, _ := open(t)
	assert.Contains(t, b.Get("/").Text, `hx-post="/cart/mug" hx-target="#cart"`)
	assert.Contains(t, b.Get("/htmx.js").Text, "hx-target")
	page := b.Do("POST", "/cart/mug", nil, "HX-Request", "true")
	assert.Equal(t, http.StatusOK, page.StatusCode)
	assert.True(t, strings.HasPrefix(page.Text, `<section id="cart">`), page.Text)
	assert.Contains(t, page.Text, "Mug is in your cart.")
	assert.Contains(t, page.Text, "1 in the cart")
	home := b.Get("/").Text
	assert.Contains(t, home, "1 in the cart")
	assert.NotContains(t, home, "is in your cart.", "the message was for the fragment only")

	page = b.Do("GET", "/devices", nil, "HX-Request", "true")
	assert.Equal(t, "/sign-in", page.Header.Get("HX-Redirect"))
	assert.Equal(t, http.StatusNotFound, b.Post("/cart/car", nil).StatusCode)
}

func TestUploadStreamsItsProgress(t *testing.T) {
	b, _ := open(t)
	signUp(b, "Ann")
	require.Equal(t, http.StatusOK, b.Get("/upload").StatusCode)
	stream, err := b.Client.Get(b.URL + "/upload/progress")
	require.NoError(t, err)
	defer stream.Body.Close()
	require.Equal(t, "text/event-stream", stream.Header.Get("Content-Type"))
	events := bufio.NewScanner(stream.Body)
	assert.Equal(t, Progress{}, next(t, events))

	body, sender := io.Pipe()
	uploaded := make(chan *http.Response, 1)
	go func() {
		defer close(uploaded)
		response, err := b.Client.Post(b.URL+"/upload", "application/octet-stream", body)
		if assert.NoError(t, err) {
			response.Body.Close()
			uploaded <- response
		}
	}()
	half := make([]byte, uploadStep)
	_, err = sender.Write(half)
	require.NoError(t, err)
	p := next(t, events)
	for p.Bytes == 0 {
		p = next(t, events)
	}
	assert.Equal(t, Progress{Bytes: uploadStep}, p, "the first half is seen while the second is not sent")
	_, err = sender.Write(half)
	require.NoError(t, err)
	require.NoError(t, sender.Close())
	for !p.Done {
		p = next(t, events)
	}
	assert.EqualValues(t, 2*uploadStep, p.Bytes)
	for events.Scan() {
		assert.Empty(t, events.Text(), "the stream ends with the upload")
	}
	response := <-uploaded
	require.NotNil(t, response)
	assert.Equal(t, http.StatusSeeOther, response.StatusCode)
	assert.Contains(t, b.Get("/").Text, "131072 bytes have arrived.")
}

// next reads an event of a stream.
func next(t *testing.T, events *bufio.Scanner) (p Progress) {
	t.Helper()
	for events.Scan() {
		if text, ok := strings.CutPrefix(events.Text(), "data: "); ok {
			require.NoError(t, json.Unmarshal([]byte(text), &p))
			return p
		}
	}
	require.FailNow(t, "the stream has ended", "%v", events.Err())
	return p
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	b, _ := open(t)
	signUp(b, "Ann")
	stream, err := b.Client.Get(b.URL + "/upload/progress")
	require.NoError(t, err)
	defer stream.Body.Close()
	events := bufio.NewScanner(stream.Body)
	next(t, events)
	b.Post("/sign-out", nil)
	for events.Scan() {
	}
	assert.NoError(t, events.Err())
}

func TestOtherSitesCannotPost(t *testing.T) {
	b, _ := open(t)
	page := b.Do("POST", "/cart/mug", nil, "Sec-Fetch-Site", "cross-site")
	assert.Equal(t, http.StatusForbidden, page.StatusCode)
}

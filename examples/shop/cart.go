package main

import (
	"net/http"

	"example.com/session"
)

// A Cart is how many pieces of each product somebody wants.
type Cart map[string]int

// Pieces returns how many pieces there are in all.
func (c Cart) Pieces() int {
	sum := 0
	for _, n := range c {
		sum += n
	}
	return sum
}

const cart session.Key[Cart] = "cart"

// add puts a piece into the cart. Pieces that parallel requests add are all kept.
func add(s *session.Session, product string) error {
	return cart.Update(s, func(c Cart) Cart {
		if c == nil {
			c = Cart{}
		}
		c[product]++
		return c
	})
}

// home shows the products and the cart.
func (s *shop) home(w http.ResponseWriter, r *http.Request) {
	c, _ := cart.Get(session.FromRequest(r))
	s.render(w, r, http.StatusOK, "home", map[string]any{"Products": products, "Cart": c})
}

// addToCart answers htmx with the new cart, and other browsers with the page.
func (s *shop) addToCart(w http.ResponseWriter, r *http.Request) {
	name, ok := products[r.PathValue("product")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	current := session.FromRequest(r)
	if err := add(current, r.PathValue("product")); err != nil {
		s.fail(w, r, err)
		return
	}
	if !isHTMX(r) {
		current.FlashAdd("messages", name+" is in your cart.")
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	current.FlashNow("messages", []string{name + " is in your cart."})
	c, _ := cart.Get(current)
	s.render(w, r, http.StatusOK, "added", c)
}

func (s *shop) apiCart(w http.ResponseWriter, r *http.Request) {
	c, _ := cart.Get(session.FromRequest(r))
	if c == nil {
		c = Cart{}
	}
	writeJSON(w, http.StatusOK, c)
}

func (s *shop) apiAdd(w http.ResponseWriter, r *http.Request) {
	product := r.PathValue("product")
	if _, ok := products[product]; !ok {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "no such product"})
		return
	}
	if err := add(session.FromRequest(r), product); err != nil {
		s.fail(w, r, err)
		return
	}
	s.apiCart(w, r)
}

func (s *shop) apiAccount(w http.ResponseWriter, r *http.Request) {
	current := session.FromRequest(r)
	name, _ := userName.Get(current)
	writeJSON(w, http.StatusOK, map[string]any{"name": name, "since": current.AuthenticatedAt()})
}

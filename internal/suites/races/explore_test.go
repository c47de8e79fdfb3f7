package races_test

// An explorer tries every sequence of choices: it repeats a run with the last choice changed that
// can be changed.
type explorer struct {
	choices []int // what to choose at each point; 0 after the end
	options []int // how many there were
}

// choose returns a number below n.
func (e *explorer) choose(n int) int {
	at := len(e.options)
	e.options = append(e.options, n)
	if at < len(e.choices) {
		return e.choices[at]
	}
	e.choices = append(e.choices, 0)
	return 0
}

// next moves on to a sequence that was not tried yet, and reports whether there is one.
func (e *explorer) next() bool {
	for i := len(e.options) - 1; i >= 0; i-- {
		if e.choices[i]+1 < e.options[i] {
			e.choices = append(e.choices[:i:i], e.choices[i]+1)
			e.options = e.options[:0]
			return true
		}
	}
	return false
}

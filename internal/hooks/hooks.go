// Package hooks lets tests of this module set the clock of a manager. Applications cannot import it.
package hooks

import "time"

// SetClock sets the clock of a *session.Manager. Package session assigns it.
var SetClock func(manager any, now func() time.Time)

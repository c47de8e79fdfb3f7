package session

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// LoadConfig reads a configuration from a file in the form that ParseConfig describes, of at
// most 1 MiB. Its errors name the file. A missing file is an fs.ErrNotExist.
func LoadConfig(path string) (Config, error) {
	data, err := readConfigFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("session: load config: %w", err) // names the path itself
	}
	return parseConfig(data, fmt.Sprintf("session: load config %q: ", path))
}

// readConfigFile reads no more than a byte past the limit, also of a file that has no end.
func readConfigFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
}

// ParseConfig reads a configuration from JSON:
//
//	{"default": "redis", "secret": "$SESSION_SECRET", "lifetime": "24h",
//	 "redis": {"host": "127.0.0.1", "port": 6379, "password": "", "options": {"db": 1},
//	           "timeout": 3600, "namespace": "shop"}}
//
// The keys are those of Config in snake_case, a driver's timeout is its IdleTimeout, and
// "tls": true verifies the server as Host with the system's root certificates. Durations are
// numbers of seconds, such as 3600 and 0.5, or strings such as "90m". A string that is a whole
// "$NAME" is replaced by that environment variable, also where a number, a duration or a bool
// is wanted; an unset one is an error, and "$$" begins a literal dollar.
//
// It is strict: unknown and repeated keys, another letter case, null, wrong types and trailing
// data are errors, since a misspelt limit would silently be the default. All faults are
// reported at once, each with its path, such as redis.options.db, and none with a secret.
// The ranges of values are NewManager's to check, when the program has filled in the rest.
func ParseConfig(data []byte) (Config, error) {
	return parseConfig(data, "session: parse config: ")
}

// parseConfig is ParseConfig with the words that begin each fault.
func parseConfig(data []byte, operation string) (Config, error) {
	var c Config
	var d configDecoder
	if err := checkJSON(data); err != nil {
		d.faults = append(d.faults, err)
	} else {
		objectField(configFields(&c))(&d, "", data)
	}
	if len(d.faults) == 0 {
		return c, nil
	}
	for i, fault := range d.faults {
		d.faults[i] = fmt.Errorf("%s%w", operation, fault)
	}
	return Config{}, errors.Join(d.faults...)
}

// configFields is the JSON form of a Config.
func configFields(c *Config) map[string]configField {
	return map[string]configField{
		"default":           textField(&c.Default),
		"secret":            textField(&c.Secret),
		"previous_secrets":  textsField(&c.PreviousSecrets),
		"lifetime":          durationField(&c.Lifetime),
		"idle_timeout":      durationField(&c.IdleTimeout),
		"store_timeout":     durationField(&c.StoreTimeout),
		"limits":            choiceField(&c.Limits, parseAssurance),
		"lock_after":        durationField(&c.LockAfter),
		"max_per_user":      intField(&c.MaxPerUser),
		"at_max_per_user":   choiceField(&c.AtMaxPerUser, parseSessionPolicy),
		"cookie_attributes": objectField(cookieAttributesFields(&c.CookieAttributes)),
		"cookie": objectField(map[string]configField{
			"timeout":           durationField(&c.Cookie.IdleTimeout),
			"flash_ttl":         durationField(&c.Cookie.FlashTTL),
			"revocation":        textField(&c.Cookie.Revocation),
			"revocation_window": durationField(&c.Cookie.RevocationWindow),
		}),
		"memory": objectField(map[string]configField{
			"timeout":      durationField(&c.Memory.IdleTimeout),
			"flash_ttl":    durationField(&c.Memory.FlashTTL),
			"max_sessions": intField(&c.Memory.MaxSessions),
			"by_client_ip": boolField(&c.Memory.ByClientIP),
		}),
		"redis": objectField(map[string]configField{
			"url":       textField(&c.Redis.URL),
			"host":      textField(&c.Redis.Host),
			"port":      intField(&c.Redis.Port),
			"password":  textField(&c.Redis.Password),
			"timeout":   durationField(&c.Redis.IdleTimeout),
			"flash_ttl": durationField(&c.Redis.FlashTTL),
			"namespace": textField(&c.Redis.Namespace),
			"options":   objectField(redisOptionsFields(&c.Redis.Options)),
		}),
	}
}

func cookieAttributesFields(a *CookieAttributes) map[string]configField {
	return map[string]configField{
		"prefix":       textField(&a.Prefix),
		"path":         textField(&a.Path),
		"domain":       textField(&a.Domain),
		"same_site":    choiceField(&a.SameSite, parseSameSite),
		"secure":       choiceField(&a.Secure, parseSecureMode),
		"partitioned":  boolField(&a.Partitioned),
		"session_only": boolField(&a.SessionOnly),
	}
}

func redisOptionsFields(o *RedisOptions) map[string]configField {
	return map[string]configField{
		"db":                intField(&o.DB),
		"username":          textField(&o.Username),
		"network":           textField(&o.Network),
		"socket":            textField(&o.Socket),
		"tls":               tlsField(&o.TLS),
		"max_idle":          intField(&o.MaxIdle),
		"max_active":        intField(&o.MaxActive),
		"idle_conn_timeout": signedDurationField(&o.IdleConnTimeout),
		"pool_wait":         signedDurationField(&o.PoolWait),
		"dial_timeout":      durationField(&o.DialTimeout),
		"read_timeout":      durationField(&o.ReadTimeout),
		"write_timeout":     durationField(&o.WriteTimeout),
		"client_name":       textField(&o.ClientName),
	}
}

// checkJSON reports whether data is one JSON value in UTF-8, with line and column of what is
// wrong. It quotes punctuation only: anything else may be part of a secret.
func checkJSON(data []byte) error {
	switch {
	case len(data) > maxConfigBytes:
		return fmt.Errorf("larger than 1 MiB (%d bytes)", maxConfigBytes)
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return errors.New("begins with a byte order mark: save it as UTF-8 without one")
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return errors.New("seems to be UTF-16: save it as UTF-8")
	case !utf8.Valid(data):
		return fmt.Errorf("%s: not UTF-8", positionIn(data, invalidUTF8(data)))
	case len(bytes.Trim(data, jsonSpace)) == 0:
		return errors.New("empty: the least is {}")
	}
	var value json.RawMessage
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&value); err != nil {
		return syntaxFault(data, err)
	}
	if end := int(decoder.InputOffset()); len(bytes.Trim(data[end:], jsonSpace)) > 0 {
		return fmt.Errorf("%s: data after the end of the configuration", positionIn(data, end))
	}
	return nil
}

func syntaxFault(data []byte, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) || syntax.Offset < 1 || syntax.Offset > int64(len(data)) {
		return errors.New("not valid JSON: it ends too early")
	}
	at := int(syntax.Offset) - 1
	where := positionIn(data, at)
	if b := data[at]; strings.IndexByte("{}[]:,\"'/#", b) >= 0 {
		return fmt.Errorf("%s: not valid JSON: unexpected %q", where, b)
	}
	return fmt.Errorf("%s: not valid JSON", where)
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(data)
}

func positionIn(data []byte, at int) string {
	before := data[:at]
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	number := bytes.Count(before, []byte("\n")) + 1
	return fmt.Sprintf("line %d, column %d", number, utf8.RuneCount(line)+1)
}

// A configDecoder collects what is wrong with a file.
type configDecoder struct {
	faults []error
}

func (d *configDecoder) full() bool { return len(d.faults) > maxConfigFaults }

func (d *configDecoder) fault(path, format string, args ...any) {
	switch {
	case d.full():
	case len(d.faults) == maxConfigFaults:
		d.faults = append(d.faults, errors.New("and more faults, not listed"))
	default:
		text := fmt.Sprintf(format, args...)
		d.faults = append(d.faults, fmt.Errorf("%s: %s", cmp.Or(path, "top level"), text))
	}
}

// A configField decodes one valid JSON value into the place it is bound to.
type configField func(d *configDecoder, path string, value json.RawMessage)

// objectField is the field for an object with these keys.
func objectField(fields map[string]configField) configField {
	return func(d *configDecoder, path string, value json.RawMessage) {
		if kind := jsonKindOf(value); kind != kindObject {
			d.fault(path, "want an object, not %s", kind)
			return
		}
		seen := make(map[string]bool)
		for key, member := range jsonMembers(value) {
			at := joinPath(path, key)
			field, known := fields[key]
			switch {
			case d.full():
				return
			case !known:
				d.fault(at, "unknown field%s", suggestion(key, fields))
			case seen[key]:
				d.fault(at, "given twice")
			default:
				field(d, at, member)
			}
			seen[key] = true
		}
	}
}

// jsonMembers yields the keys and values of a JSON object in their order, repeated ones too.
func jsonMembers(object json.RawMessage) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		decoder := json.NewDecoder(bytes.NewReader(object))
		if _, err := decoder.Token(); err != nil { // the brace; checkJSON has seen all of it
			return
		}
		for decoder.More() {
			key, err := decoder.Token()
			if err != nil {
				return
			}
			var value json.RawMessage
			if decoder.Decode(&value) != nil || !yield(key.(string), value) {
				return
			}
		}
	}
}

// joinPath extends a path by a key, which is quoted where it could be mistaken for more.
func joinPath(path, key string) string {
	if !isLabel(strings.ReplaceAll(key, "_", "0")) {
		key = fmt.Sprintf("%.64q", key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// suggestion names the known key that was probably meant.
func suggestion(key string, fields map[string]configField) string {
	folded := foldKey(key)
	if len(folded) > 64 { // longer than any, and not worth the work
		return ""
	}
	best, least := "", min(len(folded), max(2, len(folded)/3)+1)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		distance := editDistance(folded, foldKey(name))
		if strings.HasSuffix(folded, foldKey(name)) { // "idle_timeout" where it is "timeout"
			distance = min(distance, 2)
		}
		if distance < least {
			best, least = name, distance
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

func foldKey(key string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(key))
}

// editDistance is Levenshtein's: how many bytes to insert, delete or replace.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0]++
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// A jsonKind is what a scalar or composite is, in words for an error.
type jsonKind string

const (
	kindObject jsonKind = "an object"
	kindArray  jsonKind = "an array"
	kindString jsonKind = "a string"
	kindNumber jsonKind = "a number"
	kindBool   jsonKind = "a bool"
	kindNull   jsonKind = "null"

	kindEnv jsonKind = "a string from the environment" // stands for each of the scalars
)

func jsonKindOf(value json.RawMessage) jsonKind {
	switch value = bytes.Trim(value, jsonSpace); value[0] {
	case '{':
		return kindObject
	case '[':
		return kindArray
	case '"':
		return kindString
	case 't', 'f':
		return kindBool
	case 'n':
		return kindNull
	default:
		return kindNumber
	}
}

// A configLiteral is the text of a scalar and what it is.
type configLiteral struct {
	text string
	kind jsonKind
}

// quoted returns the literal for an error, or where it came from: what a variable holds may be
// meant for another field.
func (l configLiteral) quoted() string {
	switch l.kind {
	case kindEnv:
		return "the variable's value"
	case kindString:
		return fmt.Sprintf("%.64q", l.text)
	default:
		return fmt.Sprintf("%.64s", l.text)
	}
}

// isNumber reports whether the literal is a number, in the file or in a variable.
func (l configLiteral) isNumber() bool {
	value := json.RawMessage(l.text)
	return l.kind == kindNumber ||
		l.kind == kindEnv && json.Valid(value) && jsonKindOf(value) == kindNumber
}

// scalar returns a value that is of one of the wanted kinds, or comes from the environment.
// want says what is wanted, for the error.
func (d *configDecoder) scalar(
	path string, value json.RawMessage, want string, kinds ...jsonKind,
) (l configLiteral, ok bool) {
	l = configLiteral{string(bytes.Trim(value, jsonSpace)), jsonKindOf(value)}
	if l.kind == kindString {
		if l, ok = d.expand(path, value); !ok {
			return l, false
		}
	}
	if l.kind != kindEnv && !slices.Contains(kinds, l.kind) {
		d.fault(path, "want %s, not %s", want, l.kind)
		return l, false
	}
	return l, true
}

// expand decodes a string and replaces a whole "$NAME" by the environment variable. A half
// surrogate pair is refused: it would silently be another character of a secret.
func (d *configDecoder) expand(path string, value json.RawMessage) (l configLiteral, ok bool) {
	const dollar = `write "$$" where a literal dollar begins the string`
	l.kind = kindString
	if json.Unmarshal(value, &l.text) != nil || strings.ContainsRune(l.text, utf8.RuneError) {
		d.fault(path, "the string has U+FFFD or half a surrogate pair in it")
		return l, false
	}
	name, isVariable := strings.CutPrefix(l.text, "$")
	switch {
	case !isVariable:
		return l, true
	case strings.HasPrefix(name, "$"):
		return configLiteral{name, kindString}, true
	case !isVariableName(name):
		d.fault(path, `begins with a dollar and is no "$NAME": %s`, dollar)
		return l, false
	}
	expanded, ok := os.LookupEnv(name)
	if !ok {
		d.fault(path, "the environment variable%s is not set; %s", variableName(path, name), dollar)
	}
	return configLiteral{expanded, kindEnv}, ok
}

func isVariableName(s string) bool {
	for i := range len(s) {
		if b := s[i]; b != '_' && !isAlphanumeric(b) || i == 0 && '0' <= b && b <= '9' {
			return false
		}
	}
	return s != ""
}

// variableName returns a variable's name for an error. Where a secret belongs, one that does
// not look like a variable is taken for a secret that begins with a dollar, and left out.
func variableName(path, name string) string {
	secret := path == "secret" || path == "redis.password" || strings.HasPrefix(path, "previous_")
	if secret && (len(name) > 64 || strings.ToUpper(name) != name) {
		return ""
	}
	return fmt.Sprintf(" %.64s", name)
}

// textField is the field for a string.
func textField(dst *string) configField {
	return func(d *configDecoder, path string, value json.RawMessage) {
		if l, ok := d.scalar(path, value, "a string", kindString); ok {
			*dst = l.text
		}
	}
}

// textsField is the field for an array of strings.
func textsField(dst *[]string) configField {
	return func(d *configDecoder, path string, value json.RawMessage) {
		if kind := jsonKindOf(value); kind != kindArray {
			d.fault(path, "want an array of strings, not %s", kind)
			return
		}
		var elements []json.RawMessage
		if err := json.Unmarshal(value, &elements); err != nil {
			d.fault(path, "want an array of strings")
			return
		}
		list := make([]string, len(elements))
		for i, element := range elements {
			textField(&list[i])(d, fmt.Sprintf("%s[%d]", path, i), element)
		}
		*dst = list
	}
}

// intField is the field for a whole number.
func intField(dst *int) configField {
	return func(d *configDecoder, path string, value json.RawMessage) {
		l, ok := d.scalar(path, value, "a whole number", kindNumber)
		if !ok {
			return
		}
		n, err := strconv.Atoi(l.text)
		switch {
		case errors.Is(err, strconv.ErrRange):
			d.fault(path, "%s is too large", l.quoted())
		case err != nil:
			d.fault(path, "%s is not a whole number", l.quoted())
		default:
			*dst = n
		}
	}
}

// boolField is the field for true and false.
func boolField(dst *bool) configField {
	return func(d *configDecoder, path string, value json.RawMessage) {
		l, ok := d.scalar(path, value, "true or false", kindBool)
		if !ok {
			return
		}
		if l.text != "true" && l.text != "false" {
			d.fault(path, "%s is not true or false", l.quoted())
			return
		}
		*dst = l.text == "true"
	}
}

// tlsField is the field for a bool that asks for TLS with the system's roots. ServerName
// stays empty, which means Host, also one that the program sets afterwards.
func tlsField(dst **tls.Config) configField {
	return func(d *configDecoder, path string, value json.RawMessage) {
		var wanted bool
		boolField(&wanted)(d, path, value)
		if wanted {
			*dst = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
}

// choiceField is the field for one of several words.
func choiceField[T any](dst *T, parse func(string) (T, error)) configField {
	return func(d *configDecoder, path string, value json.RawMessage) {
		l, ok := d.scalar(path, value, "a string", kindString)
		if !ok {
			return
		}
		chosen, err := parse(l.text)
		if err != nil {
			d.fault(path, "%s is not known: %v", l.quoted(), err)
			return
		}
		*dst = chosen
	}
}

func parseSameSite(text string) (http.SameSite, error) {
	switch text {
	case "lax":
		return http.SameSiteLaxMode, nil
	case "strict":
		return http.SameSiteStrictMode, nil
	case "none":
		return http.SameSiteNoneMode, nil
	}
	return 0, errors.New(`want "lax", "strict" or "none"`)
}

// durationField is the field for a duration that cannot be negative.
func durationField(dst *time.Duration) configField {
	return func(d *configDecoder, path string, value json.RawMessage) {
		var parsed time.Duration
		signedDurationField(&parsed)(d, path, value)
		if parsed < 0 {
			d.fault(path, "a negative duration has no meaning here")
			return
		}
		*dst = parsed
	}
}

// signedDurationField is the field for a duration of which negative values have a meaning.
func signedDurationField(dst *time.Duration) configField {
	const want = `a number of seconds or a string such as "90m"`
	return func(d *configDecoder, path string, value json.RawMessage) {
		l, ok := d.scalar(path, value, want, kindNumber, kindString)
		if !ok {
			return
		}
		parse := time.ParseDuration
		if l.isNumber() {
			parse = parseSeconds
		}
		parsed, err := parse(l.text)
		switch {
		case err != nil:
			d.fault(path, "%s is not a duration of less than 292 years: want %s", l.quoted(), want)
		case parsed == 0 && strings.ContainsAny(l.text, "123456789"):
			d.fault(path, "%s is less than a nanosecond, and 0 would mean the default", l.quoted())
		default:
			*dst = parsed
		}
	}
}

// parseSeconds reads a JSON number of seconds.
func parseSeconds(number string) (time.Duration, error) {
	seconds, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, err
	}
	nanoseconds := math.Round(seconds * float64(time.Second))
	if math.Abs(nanoseconds) >= math.MaxInt64 { // a float64 of 2^63; NaN is no JSON number
		return 0, strconv.ErrRange
	}
	return time.Duration(nanoseconds), nil
}

package drivertest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

// A mutant is an implementation with one fault, and a test of the suite that must find it. Others
// may find it too.
type mutant struct{ fault, foundBy string }

var driverMutants = []mutant{
	{"returns base in place of the stored record", "SaveAppliesToTheRecordAsItIs"},
	{"returns nil in place of the stored record", "SaveStoresWhatApplyMakes"},
	{"applies changes to base", "SaveAppliesToTheRecordAsItIs"},
	{"stores half of the changes", "RandomChangesEndWhereApplyEnds"},
	{"keeps no account part", "SaveStoresWhatApplyMakes"},
	{"keeps no flash", "SaveStoresWhatApplyMakes"},
	{"cuts values at a zero byte", "KeysAndValuesOfAnyBytesAreKept"},
	{"makes values UTF-8", "KeysAndValuesOfAnyBytesAreKept"},
	{"cuts large values", "LargeValuesAreKept"},
	{"folds the case of ids", "IDsAreComparedByteForByte"},
	{"cuts ids at a zero byte", "IDsAreComparedByteForByte"},
	{"looks at eight bytes of an id", "IDsAreComparedByteForByte"},
	{"counts a load as use", "LoadIsNoUse"},
	{"creates on load", "UnknownIDIsNotAdopted"},
	{"a missing record accepts a save", "UnknownIDIsNotAdopted"},
	{"leaves a tombstone for an unknown id", "UnknownIDIsNotAdopted"},
	{"a new session replaces another", "NewSessionReplacesNothing"},
	{"a tombstone gives way to a new session", "NewSessionReplacesNothing"},
	{"answers a refusal with an error of its own", "RefusedSaveStoresNothing"},
	{"stores what a refusal leaves", "RefusedSaveStoresNothing"},
	{"returns a record with a refusal", "RefusedSaveStoresNothing"},
	{"does not check the secret", "OnlyAnAcceptedSecretSaves"},
	{"accepts a replaced secret", "OnlyAnAcceptedSecretSaves"},
	{"never replaces a secret", "OnlyAnAcceptedSecretSaves"},
	{"installs no secret", "OnlyAnAcceptedSecretSaves"},
	{"applies a repeated save again", "RepeatedSaveIsAppliedOnce"},
	{"remembers the last save only", "RepeatedSaveIsAppliedOnce"},
	{"refuses a repeated first save", "RepeatedSaveIsAppliedOnce"},
	{"judges the secret before the number", "RepeatedSaveIsKnownBeforeItsSecretIsJudged"},
	{"forgets that a save was retried", "RetriedSaveThatCameTooLateIsRefused"},
	{"does not answer a ping", "PingAnswers"},

	{"ends nothing", "EndedSessionStaysDead"},
	{"forgets an ended record", "EndedSessionStaysDead"},
	{"leaves no tombstone", "EndedSessionStaysDead"},
	{"takes a tombstone for a missing session", "EndedSessionStaysDead"},
	{"leaves a short tombstone", "EndedSessionStaysDead"},
	{"leaves a tombstone for ever", "EndedSessionStaysDead"},
	{"leaves every tombstone for an hour", "EndedSessionStaysDead"},
	{"does not say how long ago a session ended", "EndedSessionStaysDead"},
	{"an ended record accepts a save", "EndedSessionStaysDead"},
	{"returns base as the ended record", "EndedSessionStaysDead"},
	{"returns no ended record", "EndedSessionStaysDead"},
	{"ends without asking the record", "EndOfWhatIsNotAllowedChangesNothing"},
	{"judges an ending by base", "EndJudgesTheRecordAsItIs"},
	{"ends only by an accepted secret", "ReplacedSecretEndsASession"},
	{"does not remember the secret before the first save", "ReplacedSecretEndsASession"},
	{"leaves no tombstone for an unknown id of a user", "EndOfAnUnknownIDByItsUserLeavesATombstone"},
	{"leaves every tombstone for half a minute", "EndOfAnUnknownIDByItsUserLeavesATombstone"},
	{"shortens a tombstone", "TombstoneIsNeverShortened"},
	{"never lengthens a tombstone", "TombstoneIsLengthened"},
	{"takes damage for an outage", "DamagedRecordIsReportedAndEnded"},
	{"takes damage for a missing session", "DamagedRecordIsReportedAndEnded"},
	{"asks a damaged record before it ends it", "DamagedRecordIsReportedAndEnded"},
	{"repairs a damaged record by a save", "DamagedRecordIsReportedAndEnded"},

	{"an expired record accepts a save", "ExpiredSessionAcceptsNoSave"},
	{"ignores the limits of the configuration", "ExpiredSessionAcceptsNoSave"},
	{"expires a millisecond late", "ExpiredSessionAcceptsNoSave"},
	{"expires a millisecond early", "ExpiredSessionAcceptsNoSave"},
	{"does not count saves as use", "UseMovesTheIdleTimeout"},
	{"counts every save as use", "UseMovesTheIdleTimeout"},
	{"ignores Restart", "LimitsFollowTheSave"},
	{"an expired record refuses a new session", "ExpiredSessionGivesWayToANewOne"},
	{"forgets records by the time of their first save", "RecordIsKeptUntilItEnds"},

	{"takes an ended context for a missing session", "EndedContextDoesNotLookLikeNoSession"},
	{"swallows the error of a save", "EndedContextDoesNotLookLikeNoSession"},
	{"swallows the error of an end", "EndedContextDoesNotLookLikeNoSession"},
	{"returns a record with an error", "FaultAtAnyCallLosesAndRepeatsNothing"},
	{"removes the session when a save is interrupted", "FaultAtAnyCallLosesAndRepeatsNothing"},
	{"reads before it locks", "ParallelSavesLoseNothing"},
	{"reads before it locks", "OneOfSeveralReplacementsWins"},
	{"reads before it locks", "ParallelSwapsLoseNothing"},
	{"applies a repeated save again", "ParallelRepeatsAreAppliedOnce"},
	{"a new session replaces another", "OneOfSeveralNewSessionsWins"},
	{"ends in two steps", "EndedSessionIsNotRevivedBySavesBesideIt"},
	{"ends only by an accepted secret", "EndWinsOverAReplacementBesideIt"},
	{"leaves no tombstone for an unknown id of a user", "EndByUserWinsOverTheFirstSaveBesideIt"},
	{"is alone with what it stores", "SecondProcessSeesEverySave"},
}

var indexMutants = []mutant{
	{"index: cuts times to seconds", "EnteredSessionsAreListed"},
	{"index: lists the first ten", "EnteredSessionsAreListed"},
	{"index: removes nothing", "RemoveRemovesOneEntry"},
	{"index: removes every entry", "RemoveRemovesOneEntry"},
	{"index: fails to remove what is not there", "RemoveRemovesOneEntry"},
	{"index: folds the case of users", "UsersAreApart"},
	{"index: keeps one list", "UsersAreApart"},
	{"index: moves Entered", "EnterAgainMovesTheEndOnly"},
	{"index: leaves the end of an entry", "EnterAgainMovesTheEndOnly"},
	{"index: counts the entry itself", "EnterAgainMovesTheEndOnly"},
	{"index: lists what has ended", "EntryIsForgottenWhenItsEndHasPassed"},
	{"index: counts what has ended", "EntryIsForgottenWhenItsEndHasPassed"},
	{"index: ignores the limit", "LimitCountsOtherEntries"},
	{"index: enters beyond the limit", "LimitCountsOtherEntries"},
	{"index: refuses at the limit only", "LimitCountsOtherEntries"},
	{"index: takes no limit for a limit of zero", "LimitCountsOtherEntries"},
	{"index: checks the limit before it locks", "LimitHoldsInParallel"},
	{"index: lists the first ten", "ParallelEntriesAreAllListed"},
	{"index: enters what EndBefore refuses", "EndBeforeRefusesWhoEnteredEarlier"},
	{"index: refuses who entered at the time of EndBefore", "EndBeforeRefusesWhoEnteredEarlier"},
	{"index: compares milliseconds", "EndBeforeRefusesWhoEnteredEarlier"},
	{"index: judges EndBefore by now", "EndBeforeRefusesWhoEnteredEarlier"},
	{"index: exempts an entry that is there", "EndBeforeRefusesWhoEnteredEarlier"},
	{"index: removes entries in EndBefore", "EndBeforeRefusesWhoEnteredEarlier"},
	{"index: removes entries in EndBefore", "EndBeforeInParallelMissesNoEntry"},
	{"index: forgets EndBefore after half an hour", "EndBeforeHoldsForAnHour"},
	{"index: never forgets EndBefore", "EndBeforeHoldsForAnHour"},
	{"index: an earlier EndBefore replaces a later one", "LaterEndBeforeStays"},
	{"index: keeps the first EndBefore", "LaterEndBeforeStays"},
	{"index: judges an EndBefore in the future", "EndBeforeInTheFutureIsNotJudged"},
	{"index: ends what it removes", "IndexLeavesRecordsAlone"},
	{"index: swallows errors", "IndexFaultIsAnError"},
	{"index: takes a fault for a full index", "IndexFaultIsAnError"},
	{"index: takes a fault for an empty list", "IndexFaultIsAnError"},
	{"is alone with what it stores", "SecondProcessSharesTheIndex"},
	{"user ender: does not note the time", "EndUserEndsWhatEndWouldEnd"},
	{"user ender: ends the session to keep", "EndUserEndsWhatEndWouldEnd"},
	{"user ender: ends another user's session", "EndUserEndsWhatEndWouldEnd"},
	{"user ender: forgets what is not stored yet", "EndUserEndsWhatEndWouldEnd"},
	{"user ender: leaves tombstones for too short", "EndUserEndsWhatEndWouldEnd"},
	{"user ender: does not say what it has ended", "EndUserEndsWhatEndWouldEnd"},
	{"user ender: leaves the entries", "EndUserEndsWhatEndWouldEnd"},
}

var storeMutants = []mutant{
	{"returns an error for a missing key", "MissingKeyIsNoError"},
	{"returns empty bytes for a missing key", "MissingKeyIsNoError"},
	{"cuts bytes at a zero byte", "BytesAreKeptUnchanged"},
	{"makes bytes UTF-8", "BytesAreKeptUnchanged"},
	{"trims white space", "BytesAreKeptUnchanged"},
	{"cuts large data", "BytesAreKeptUnchanged"},
	{"folds the case of keys", "KeysAreComparedByteForByte"},
	{"cuts keys at 22 characters", "KeysAreComparedByteForByte"},
	{"cuts keys at a colon", "KeysAreComparedByteForByte"},
	{"takes '-' and '_' for the same", "KeysAreComparedByteForByte"},
	{"returns what a replica had before", "UpdateReplaces"},
	{"inserts only", "UpdateReplaces"},
	{"ignores the error of change", "ErrorOfChangeStoresNothing"},
	{"returns an error of its own", "ErrorOfChangeStoresNothing"},
	{"stores beside the error of change", "ErrorOfChangeStoresNothing"},
	{"removes what an entry without data leaves", "EntryWithoutDataStoresNothing"},
	{"fails without data", "EntryWithoutDataStoresNothing"},
	{"uses a buffer again", "BytesOfGetStayAsTheyAre"},
	{"reads before it locks", "ParallelUpdatesLoseNothing"},
	{"mixes up keys", "ParallelUpdatesOfOtherKeysAreApart"},
	{"is alone with what it stores", "ParallelUpdatesLoseNothing"},
	{"returns what has expired", "DataExpiresInTime"},
	{"gives change what has expired", "DataExpiresInTime"},
	{"forgets too early", "DataExpiresInTime"},
	{"keeps the time of the first Update", "DataExpiresInTime"},
	{"takes an ended context for a missing key", "EndedContextIsAnError"},
	{"acknowledges what it did not store", "EndedContextIsAnError"},
	{"swaps without comparing", "SwapComparesAndStores"},
	{"swaps in what is missing", "SwapComparesAndStores"},
	{"does not return what is there", "SwapComparesAndStores"},
	{"reports every swap as done", "SwapComparesAndStores"},
	{"compares and swaps in two steps", "ParallelSwapsOfOneStateHaveOneWinner"},
	{"does not answer a ping", "PingAnswers"},
}

// A recorder stands in for the testing.T of a mutant.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fail()        { r.Errorf("Fail") }
func (r *recorder) FailNow()     { r.Fail(); runtime.Goexit() }
func (r *recorder) Failed() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.failures) > 0 }
func (r *recorder) Logf(string, ...any) {
}

// record runs a test against a mutant.
func record(t *testing.T, run func(t testing.TB)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(r)
	}()
	<-done
	return r
}

// found checks that a test of a suite finds a fault.
func found(t *testing.T, run func(t testing.TB)) {
	t.Helper()
	for range 20 { // a race may be missed
		if record(t, run).Failed() {
			return
		}
	}
	require.Fail(t, "the suite finds nothing wrong")
}

func (d *reference) options() []Options {
	return []Options{{
		Again: func(t *testing.T, first driver.Driver) driver.Driver {
			if d.has("is alone with what it stores") {
				return newReference("")
			}
			return first
		},
		Damage: func(_ testing.TB, _ driver.Driver, id driver.ID, data []byte) { d.damage(id, data) },
	}}
}

// A forgetful driver forgets records when the time of their first save has passed.
type forgetful struct {
	*reference
	first sync.Map // by id, the end of the first save
}

func (d *forgetful) Save(ctx context.Context, base *driver.Record, ch *driver.Changes) (*driver.Record, error) {
	if end, ok := d.first.Load(ch.ID); ok && time.Now().After(end.(time.Time)) {
		return nil, driver.ErrNoSession
	}
	rec, err := d.reference.Save(ctx, base, ch)
	if err == nil {
		d.first.LoadOrStore(ch.ID, rec.ExpiresAt())
	}
	return rec, err
}

func mutantDriver(fault string) (driver.Driver, []Options) {
	d := newReference(fault)
	if fault == "forgets records by the time of their first save" {
		return &forgetful{reference: d}, d.options()
	}
	return d, d.options()
}

func TestSuiteFindsEachFaultOfADriver(t *testing.T) {
	for _, m := range driverMutants {
		t.Run(m.fault+"/"+m.foundBy, func(t *testing.T) {
			t.Parallel()
			found(t, func(tb testing.TB) {
				d, options := mutantDriver(m.fault)
				k := newKit(t, d, options)
				find(t, driverSuite, m.foundBy).run(tb, k)
			})
		})
	}
}

func TestSuiteFindsEachFaultOfAnIndex(t *testing.T) {
	for _, m := range indexMutants {
		t.Run(m.fault+"/"+m.foundBy, func(t *testing.T) {
			t.Parallel()
			found(t, func(tb testing.TB) {
				d := newReference(m.fault)
				k := &indexKit{kit: newKit(t, d, d.options()), index: d, user: newUser()}
				find(t, append(slices.Clip(indexSuite), userEnderTest), m.foundBy).run(tb, k)
			})
		})
	}
}

func TestSuiteFindsEachFaultOfAStore(t *testing.T) {
	for _, m := range storeMutants {
		t.Run(m.fault+"/"+m.foundBy, func(t *testing.T) {
			t.Parallel()
			found(t, func(tb testing.TB) {
				s := newReferenceStore(m.fault)
				find(t, storeSuite, m.foundBy).run(tb, s.kit(t))
			})
		})
	}
}

func find[K any](t *testing.T, suite []suiteTest[K], name string) suiteTest[K] {
	t.Helper()
	i := slices.IndexFunc(suite, func(test suiteTest[K]) bool { return test.name == name })
	require.GreaterOrEqual(t, i, 0, "there is no such test")
	return suite[i]
}

// TestEachTestFindsAFault holds that no test of the suites is there in vain.
func TestEachTestFindsAFault(t *testing.T) {
	finds := map[string]bool{}
	for _, m := range append(append(driverMutants[:len(driverMutants):len(driverMutants)], indexMutants...), storeMutants...) {
		finds[m.foundBy] = true
	}
	var names []string
	for _, test := range driverSuite {
		names = append(names, test.name)
	}
	for _, test := range indexSuite {
		names = append(names, test.name)
	}
	for _, test := range storeSuite {
		names = append(names, test.name)
	}
	for _, name := range names {
		assert.True(t, finds[name], "no fault is found by %s", name)
	}
}

// TestFailureNamesTheRuleOfAStore holds failures to words that the author of a Store knows.
func TestFailureNamesTheRuleOfAStore(t *testing.T) {
	r := record(t, func(tb testing.TB) { testStoreBytes(tb, newReferenceStore("cuts bytes at a zero byte").kit(t)) })
	require.NotEmpty(t, r.failures)
	assert.True(t, strings.HasPrefix(r.failures[0], "the rule of docs/drivers.md is broken: "+ruleBytes), r.failures[0])
	assert.Contains(t, r.failures[0], "Get returned")
}

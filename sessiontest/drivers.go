// Package sessiontest is a kit for testing what builds on package session.
//
// [Drivers] is the suite that every [session.Driver] passes, the library's own and those that
// others write, most of them as a [session.Store]:
//
//	func TestDriver(t *testing.T) {
//		sessiontest.Drivers(t, func(t *testing.T) session.Driver {
//			return session.StoreDriver(newFileStore(t.TempDir()))
//		})
//	}
//
// [Context] gives the test of a handler a session to set and to look into, and [Client] a
// browser of a real server.
package sessiontest

import (
	"testing"

	"example.com/session"
)

// Drivers tests that a driver keeps the contract of [session.Driver]. It calls open for each of
// its tests; the drivers that open returns may share what they store in.
//
// A driver whose token is the record itself, as a sealed cookie is, returns another token from
// each Save. It is known by that, and held only to what such a driver can do: it cannot merge
// the changes of two requests, nor take back a token that was copied.
//
// The suite judges limits by the times that it passes in, which are up to some days ahead of
// the clock of this machine. What a store forgets by its own clock is not tested.
func Drivers(t *testing.T, open func(t *testing.T) session.Driver) {
	for _, test := range suite {
		t.Run(test.name, func(t *testing.T) {
			k := newKit(t, open(t))
			if k.sealed && !test.sealed {
				t.Skip("the token of this driver is the record: it gives no such guarantee")
			}
			test.run(t, k)
		})
	}
}

// suite are the tests; sealed says that a driver whose token is the record passes it too.
var suite = []struct {
	name   string
	sealed bool
	run    func(t *testing.T, k *kit)
}{
	{name: "StoredRecordIsWhatTheChangesMake", sealed: true, run: testStoredRecord},
	{name: "RandomChangesEndWhereApplyEnds", sealed: true, run: testRandomChanges},
	{name: "KeysAndValuesOfAnyBytesAreKept", sealed: true, run: testAnyBytes},
	{name: "AccountIsApartFromDataAndFlash", sealed: true, run: testAccount},
	{name: "LargeValuesAreKeptOrRefused", sealed: true, run: testLargeValues},
	{name: "IncrementsAreExactAtTheBorders", sealed: true, run: testIncrements},
	{name: "RefusedIncrementStoresNothing", sealed: true, run: testRefusals},
	{name: "FlashExpiresByItsStamp", sealed: true, run: testFlashStamps},
	{name: "RepeatedSaveCountsOnce", sealed: true, run: testRepeatedSave},
	{name: "RepeatedRotationIsAnswered", run: testRepeatedRotation},

	{name: "GarbageOpensNothing", sealed: true, run: testGarbage},
	{name: "TokenOfAnotherScopeOpensNothing", sealed: true, run: testOtherScope},
	{name: "UnknownTokenIsNotAdopted", run: testUnknownToken},
	{name: "NewSessionReplacesNothing", run: testNewSessionReplacesNothing},
	{name: "EndedSessionOpensNothing", sealed: true, run: testEnded},
	{name: "EndedSessionDoesNotComeBack", run: testEndedStaysDead},
	{name: "ReplacedTokenOpensNothing", sealed: true, run: testReplacedToken},
	{name: "ReplacedTokenDoesNotComeBack", run: testReplacedStaysDead},

	{name: "IdleTimeoutIsJudgedByTheTimePassedIn", sealed: true, run: testIdleTimeout},
	{name: "LifetimeIsJudgedByTheTimePassedIn", sealed: true, run: testLifetime},
	{name: "ExpiredSessionDoesNotComeBack", run: testExpiredStaysDead},
	{name: "RotationStartsBothLimitsAnew", sealed: true, run: testRotationLimits},
	{name: "ExpiryNeverMovesBack", run: testExpiryIsMonotone},

	{name: "CancelledContextDoesNotLookLikeNoSession", sealed: true, run: testCancelled},
	{name: "FaultAtAnyCallLosesAndRepeatsNothing", sealed: true, run: testFaults},
	{name: "ParallelSavesOfOneRecordKeepTheirOwn", sealed: true, run: testParallelCopies},
	{name: "ParallelSavesLoseNothing", run: testParallelSaves},
	{name: "ParallelRepeatsCountOnce", run: testParallelRepeats},
	{name: "ParallelNewSessionsDoNotMeet", sealed: true, run: testParallelNewSessions},
	{name: "RotationKeepsWhatIsAcknowledgedBesideIt", run: testRotationBesideSaves},
	{name: "OneOfTwoRotationsWins", run: testParallelRotations},
	{name: "RotationAndDestroyLeaveOneOrNone", run: testRotationBesideDestroy},
	{name: "DestroyedSessionIsNotRevivedBySavesBesideIt", run: testDestroyBesideSaves},
}

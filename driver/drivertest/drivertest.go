// Package drivertest checks that drivers and stores keep the contract of package driver, as
// testing/fstest does for file systems.
//
// Authors of a [driver.Store] call [Stores]; authors of a [driver.Driver] call [Drivers]:
//
//	func TestStore(t *testing.T) {
//		drivertest.Stores(t, func(t *testing.T) driver.Store { return newFileStore(t.TempDir()) })
//	}
//
// Run the tests with -race, and against a real store. The suites measure how long one operation
// takes, and run fewer in parallel on a slow store. They pass times as arguments, some of them days
// ahead, so few tests wait: only those of what a store deletes by itself, for less than five
// seconds.
package drivertest

import (
	"slices"
	"testing"

	"example.com/session/driver"
)

// Options are functions that a suite can use in addition to the driver. Each may be nil.
type Options struct {
	// Again opens another driver on the data of first, as another process would.
	Again func(t *testing.T, first driver.Driver) driver.Driver

	// Damage stores data in place of what d stores under id. If it is nil, the suite does not check
	// how the driver handles a record that cannot be decoded.
	Damage func(t testing.TB, d driver.Driver, id driver.ID, data []byte)
}

// Drivers checks every rule of [driver.Driver], and those of [driver.Index], [driver.UserEnder],
// [driver.Pinger] and [driver.Clock] if the driver implements them. It calls open once for each
// test; the drivers that open returns may share one store.
func Drivers(t *testing.T, open func(t *testing.T) driver.Driver, options ...Options) {
	for _, test := range driverSuite {
		t.Run(test.name, func(t *testing.T) { test.run(t, newKit(t, open(t), options)) })
	}
	t.Run("Index", func(t *testing.T) {
		d := open(t)
		if _, ok := d.(driver.Index); !ok {
			t.Skip("the driver does not implement driver.Index")
		}
		suite := indexSuite
		if _, ok := d.(driver.UserEnder); ok {
			suite = append(slices.Clip(suite), userEnderTest)
		}
		for _, test := range suite {
			t.Run(test.name, func(t *testing.T) {
				k := newKit(t, open(t), options)
				test.run(t, &indexKit{kit: k, index: k.driver.(driver.Index), user: newUser()})
			})
		}
	})
}

// A suiteTest is a test of a driver, an index or a store, which a kit of type K holds.
type suiteTest[K any] struct {
	name string
	run  func(t testing.TB, k K)
}

var driverSuite = []suiteTest[*kit]{
	{"SaveStoresWhatApplyMakes", testStoredRecord},
	{"RandomChangesEndWhereApplyEnds", testRandomChanges},
	{"KeysAndValuesOfAnyBytesAreKept", testAnyBytes},
	{"LargeValuesAreKept", testLargeValues},
	{"IDsAreComparedByteForByte", testSimilarIDs},
	{"LoadIsNoUse", testLoadIsNoUse},
	{"SaveAppliesToTheRecordAsItIs", testStaleBase},
	{"RefusedSaveStoresNothing", testRefusals},
	{"UnknownIDIsNotAdopted", testUnknownID},
	{"NewSessionReplacesNothing", testNewReplacesNothing},
	{"OnlyAnAcceptedSecretSaves", testSecrets},
	{"RepeatedSaveIsAppliedOnce", testRepeatedSave},
	{"RepeatedSaveIsKnownBeforeItsSecretIsJudged", testRepeatedReplacement},
	{"RetriedSaveThatCameTooLateIsRefused", testRetriedTooLate},
	{"PingAnswers", testPing},
	{"SecondProcessSeesEverySave", testSecondProcess},

	{"EndedSessionStaysDead", testEnd},
	{"EndOfWhatIsNotAllowedChangesNothing", testEndNotAllowed},
	{"EndJudgesTheRecordAsItIs", testEndStaleBase},
	{"ReplacedSecretEndsASession", testEndByReplaced},
	{"EndOfAnUnknownIDByItsUserLeavesATombstone", testEndUnknown},
	{"TombstoneIsNeverShortened", testTombstoneKept},
	{"TombstoneIsLengthened", testTombstoneLengthened},
	{"DamagedRecordIsReportedAndEnded", testDamage},

	{"ExpiredSessionAcceptsNoSave", testExpired},
	{"UseMovesTheIdleTimeout", testUse},
	{"LimitsFollowTheSave", testLimits},
	{"ExpiredSessionGivesWayToANewOne", testExpiredID},
	{"RecordIsKeptUntilItEnds", testKeptUntilItEnds},

	{"EndedContextDoesNotLookLikeNoSession", testEndedContext},
	{"FaultAtAnyCallLosesAndRepeatsNothing", testFaults},
	{"ParallelSavesLoseNothing", testParallelSaves},
	{"ParallelRepeatsAreAppliedOnce", testParallelRepeats},
	{"OneOfSeveralNewSessionsWins", testParallelNew},
	{"OneOfSeveralReplacementsWins", testParallelReplacements},
	{"ParallelSwapsLoseNothing", testParallelSwaps},
	{"EndedSessionIsNotRevivedBySavesBesideIt", testEndBesideSaves},
	{"EndWinsOverAReplacementBesideIt", testEndBesideReplacement},
	{"EndByUserWinsOverTheFirstSaveBesideIt", testEndBesideNew},
}

var indexSuite = []suiteTest[*indexKit]{
	{"EnteredSessionsAreListed", testEnter},
	{"RemoveRemovesOneEntry", testRemove},
	{"UsersAreApart", testUsersApart},
	{"EnterAgainMovesTheEndOnly", testEnterAgain},
	{"EntryIsForgottenWhenItsEndHasPassed", testEntryEnds},
	{"LimitCountsOtherEntries", testLimit},
	{"LimitHoldsInParallel", testParallelLimit},
	{"ParallelEntriesAreAllListed", testParallelEnter},
	{"EndBeforeRefusesWhoEnteredEarlier", testEndBefore},
	{"EndBeforeHoldsForAnHour", testEndBeforeHour},
	{"LaterEndBeforeStays", testEndBeforeLater},
	{"EndBeforeInTheFutureIsNotJudged", testEndBeforeFuture},
	{"EndBeforeInParallelMissesNoEntry", testEndBeforeParallel},
	{"IndexLeavesRecordsAlone", testIndexAndRecords},
	{"IndexFaultIsAnError", testIndexFaults},
	{"SecondProcessSharesTheIndex", testIndexSecondProcess},
}

// userEnderTest is for an Index that is a driver.UserEnder.
var userEnderTest = suiteTest[*indexKit]{"EndUserEndsWhatEndWouldEnd", testEndUser}

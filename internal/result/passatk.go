package result

import "strconv"

// passAtK gives, for each k that Harbor reports, the chance that at least one of k trials of a task passes, averaged over
// tasks and estimated without bias: 1 - C(n-c, k)/C(n, k) for n trials of which c pass. A trial without
// rewards has failed. It is empty unless every trial's only reward is 0 or 1, and k goes up to the smallest number
// of trials of a task. Keys are k in decimal.
func passAtK(trials []Trial) map[string]float64 {
	type tally struct{ n, passed int }
	tasks := map[string]*tally{}
	for _, t := range trials {
		passed, binary := binaryReward(t)
		if !binary {
			return map[string]float64{}
		}
		if tasks[t.TaskName] == nil {
			tasks[t.TaskName] = &tally{}
		}
		tasks[t.TaskName].n++
		if passed {
			tasks[t.TaskName].passed++
		}
	}
	smallest := 0
	for _, t := range tasks {
		if smallest == 0 || t.n < smallest {
			smallest = t.n
		}
	}
	out := map[string]float64{}
	for k := 2; k <= smallest; k++ {
		if k%5 != 0 && k&(k-1) != 0 {
			continue
		}
		sum := 0.0
		for _, t := range tasks {
			sum += chanceOfPass(t.n, t.passed, k)
		}
		out[strconv.Itoa(k)] = sum / float64(len(tasks))
	}
	return out
}

// binaryReward tells whether a trial passed; false if its rewards say more than that.
func binaryReward(t Trial) (passed, binary bool) {
	if t.VerifierResult == nil || t.VerifierResult.Rewards == nil {
		return false, true
	}
	if len(t.VerifierResult.Rewards) != 1 {
		return false, false
	}
	for _, v := range t.VerifierResult.Rewards {
		return v == 1, v == 0 || v == 1
	}
	return false, false
}

// chanceOfPass is 1 - C(n-c, k)/C(n, k), as a product that neither overflows nor loses digits.
func chanceOfPass(n, c, k int) float64 {
	if n-c < k {
		return 1
	}
	fail := 1.0
	for i := n - c + 1; i <= n; i++ {
		fail *= 1 - float64(k)/float64(i)
	}
	return 1 - fail
}

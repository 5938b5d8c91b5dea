package reports

// catalog lists every report. Names and columns are stable.
func catalog() []report {
	return []report{
		changesReport(), accessesReport(), accessBySecretReport(), activityByAgentReport(), denialsReport(),
		adminActionsReport(), apiKeysReport(), accessMatrixReport(), stateReport(), keyInventoryReport(),
		staleSecretsReport(), destructionsReport(), integrityReport(), auditReadersReport(),
	}
}

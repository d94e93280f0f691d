"""What is compared with what: lists of runs, their results, figures and tables; chaos."""

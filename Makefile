# Every command is in ./dev, which works without make too.
.PHONY: help demo test lint bench hil image setup clean
help demo test lint bench hil image setup clean:
	@sh ./dev $@ $(ARGS)

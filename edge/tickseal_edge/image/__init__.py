"""Images for SD cards: `tickseal image build`, and what the device does at its first boot."""
